from hypothesis import HealthCheck, settings

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
