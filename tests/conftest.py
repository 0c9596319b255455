import signal

from hypothesis import HealthCheck, settings

# Behind a shell (`&`) SIGINT is ignored, and programs that tests start and interrupt inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine and in every run; no database of failures beside the sources.
settings.register_profile(
    "tests",
    derandomize=True,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")
