"""What a process prints and logs is heard, in order, and still goes where it went."""

import copy
import logging
import logging.config
import os
import pickle
import random
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tune_flows.worker.output import Capture, lines_since
from tune_flows.worker.output.line import Line
from tune_flows.worker.output.text import Assembler

_OUT, _ERR = 1, 2


class Unbuffered:
    """A stream as Ray sets it up in a worker."""

    def __init__(self, descriptor: int) -> None:
        self.stream = open(descriptor, "a", buffering=1, encoding="utf-8", closefd=False)

    def write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class HeldUp:
    """A stream whose lock is held as long as the gate is."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.gate, self.lock, self.entered = threading.Lock(), threading.Lock(), threading.Event()

    def flush(self) -> None:
        with self.lock:
            self.entered.set()
            with self.gate:
                self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Worker:
    """This process with its streams into files."""

    def __init__(self, folder: Path) -> None:
        self.out, self.err = folder / "worker.out", folder / "worker.err"
        self.capture = Capture(noise=lambda text: text.startswith("[ray]"), noisy_loggers=["noisy"])

    def lines(self, *, whole: bool = False) -> list[tuple[str, str]]:
        output = self.capture.take(whole=whole)
        return [] if output is None else [(line.source, line.text) for line in output.lines]

    def taken(self, *, whole: bool = False) -> list[Line]:
        output = self.capture.take(whole=whole)
        return [] if output is None else list(output.lines)


@contextmanager
def redirected(descriptor: int, path: str) -> Iterator[None]:
    """As user code does that silences a library."""
    saved, file = os.dup(descriptor), os.open(path, os.O_RDWR | os.O_CREAT)
    os.dup2(file, descriptor)
    try:
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)
        os.close(file)


@contextmanager
def working(folder: Path) -> Iterator[Worker]:
    worker = Worker(folder)
    before = sys.stdout, sys.stderr, logging.root.handlers[:], logging.root.level
    logging.root.handlers, logging.root.level = [], logging.WARNING  # pytest has some
    saved = [os.dup(fd) for fd in (_OUT, _ERR)]
    for path, fd in ((worker.out, _OUT), (worker.err, _ERR)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, fd)
        os.close(file)
    sys.stdout, sys.stderr = Unbuffered(_OUT), Unbuffered(_ERR)
    os.write(_OUT, b"from before\n")
    worker.capture.install()
    try:
        yield worker
    finally:
        worker.capture.remove()
        for stream in (sys.stdout, sys.stderr):
            stream.close()
        for kept, fd in zip(saved, (_OUT, _ERR), strict=True):
            os.dup2(kept, fd)
            os.close(kept)
        sys.stdout, sys.stderr, logging.root.handlers, logging.root.level = before


def in_worker(test: Callable[[Worker], None]) -> Callable[..., None]:
    """The test with streams of its own, which pytest sets up anew before each."""

    def with_streams(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with capfd.disabled(), working(tmp_path) as worker:
            test(worker)

    return with_streams


@in_worker
def test_prints_and_records_in_order(worker: Worker):
    logger = logging.getLogger("model")
    worker.capture.begin("trial-1")
    print("one", 1)
    print("two", file=sys.stderr)
    logger.info("three %d", 3)
    logger.debug("nobody wants it")
    print("five")
    heard = [("stdout", "one 1"), ("stderr", "two"), ("model", "three 3"), ("stdout", "five")]
    assert worker.lines() == heard
    assert worker.lines() == []
    assert worker.out.read_text() == "from before\none 1\nfive\n"
    assert worker.err.read_text() == "two\nINFO model: three 3\n"


@in_worker
def test_levels_and_names(worker: Worker):
    worker.capture.begin("trial-1")
    print("out")
    print("err", file=sys.stderr)
    logging.getLogger("a.b").error("bad", exc_info=ValueError("why"))
    out, err, record = worker.taken()
    assert out[0::2] == ("trial-1", logging.INFO, "out")
    assert err[2:5] == (logging.INFO, "stderr", "err")
    assert record.level == logging.ERROR
    assert record.source == "a.b"
    assert record.text == "bad\nValueError: why"
    assert abs(record.created - time.time()) < 60


@in_worker
def test_a_trial_has_what_is_printed_while_it_is_there(worker: Worker):
    print("import")
    worker.capture.begin("trial-1")
    print("one", end="")
    worker.capture.begin("trial-2")
    print("two")
    assert [line[0::4] for line in worker.taken()] == [
        ("", "import"),
        ("trial-1", "one"),
        ("trial-2", "two"),
    ]


@in_worker
def test_children_and_c_code_are_heard_from_the_file(worker: Worker):
    print("before")
    subprocess.run(["sh", "-c", "echo child; echo [ray] noise; printf half"], check=True)
    os.write(_ERR, "grüße\n".encode())
    print(" a line")
    sys.stdout.buffer.write(b"\xff raw\n")
    sys.stdout.flush()
    print("after")
    heard = worker.lines()
    assert [text for source, text in heard if source == "stdout"] == [
        "before",
        "child",
        "half a line",
        "\ufffd raw",
        "after",
    ]
    assert ("stderr", "grüße") in heard
    assert worker.lines() == []


@in_worker
def test_whoever_writes_when_it_is_heard_as_it_is_in_the_file(worker: Worker):
    chance, heard = random.Random(7), []
    pieces = ["a", "b\n", "grüße ", "\n", "\r50%", "\r100%", "c\nd", "x" * 5000]
    for _ in range(2000):
        piece = chance.choice(pieces)
        match chance.randrange(8):
            case 0 | 1:
                os.write(_OUT, piece.encode())
            case 2:
                heard += worker.lines()
            case _:
                print(piece, end="")
    heard += worker.lines(whole=True)
    os.write(_OUT, b"\n")
    written = Assembler().feed(worker.out.read_bytes().decode().removeprefix("from before\n"))
    assert [text for _, text in heard] == written


@in_worker
def test_printing_nothing_makes_nothing_be_heard_twice(worker: Worker):
    print("one")
    print("", end="")
    with worker.out.open("a") as other:
        other.write("two\n")
    heard = worker.lines()
    print("", end="")
    heard += worker.lines()
    print("three")
    assert [*heard, *worker.lines(whole=True)] == [("stdout", text) for text in ("one", "two", "three")]


@in_worker
def test_the_handler_has_no_lock_that_could_be_waited_for(worker: Worker):
    """A finalizer may log on the thread that holds the stream's: two would be taken in two orders."""
    handler = logging.lastResort
    assert handler is not None
    handler.acquire()
    try:
        thread = threading.Thread(target=logging.getLogger("other").warning, args=["heard"], daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    finally:
        handler.release()
    assert worker.lines() == [("other", "heard")]


@in_worker
def test_a_fork_prints_to_the_same_log(worker: Worker):
    print("parent")
    if (pid := os.fork()) == 0:
        print("child")
        logging.getLogger("child").warning("careful")
        os._exit(0)
    os.waitpid(pid, 0)
    print("parent again")
    heard = worker.lines()
    assert sorted(text for _, text in heard) == ["WARNING child: careful", "child", "parent", "parent again"]


@in_worker
def test_a_fork_while_another_thread_prints_does_not_hang(worker: Worker):
    over = threading.Event()

    def chatter() -> None:
        while not over.is_set():
            print("x" * 100)

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        for _ in range(20):
            if (pid := os.fork()) == 0:
                print("child")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        over.set()
        thread.join()


@in_worker
def test_a_fork_flushes_while_another_thread_is_in_the_stream(worker: Worker):
    stream = HeldUp(worker.capture._streams[0].original)
    worker.capture._streams[0].original = stream
    thread = threading.Thread(target=stream.flush)
    with stream.gate:
        thread.start()
        assert stream.entered.wait(10)
        if (pid := os.fork()) == 0:
            signal.alarm(10)
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    thread.join()
    assert ("stdout", "child") in worker.lines()


@in_worker
def test_torn_characters_of_others_are_put_together(worker: Worker):
    for piece in ("ü".encode()[:1], "ü".encode()[1:] + b"\n"):
        os.write(_OUT, piece)
        heard = worker.lines()
    assert heard == [("stdout", "ü")]


@in_worker
def test_much_of_others_is_counted_not_read(worker: Worker):
    subprocess.run(["sh", "-c", "seq 1000000"], check=True)
    print("end")
    taken = worker.taken()
    assert len(taken) <= 202
    assert taken[0].text == "1"
    assert taken[-1].text == "end"
    assert sum(line.left_out or 1 for line in taken) == 1_000_001


@in_worker
def test_a_flood_takes_no_memory(worker: Worker):
    for number in range(100_000):
        print(number)
    taken = worker.taken()
    assert len(taken) <= 202
    assert sum(line.left_out or 1 for line in taken) == 100_000


@in_worker
def test_who_configures_logging_keeps_it(worker: Worker):
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s|%(message)s")
    logging.getLogger("mine").debug("detail")
    logging.getLogger("mine").error("bad")
    assert [line[2:5] for line in worker.taken()] == [
        (logging.DEBUG, "mine", "DEBUG|detail"),
        (logging.ERROR, "mine", "ERROR|bad"),
    ]


def log_from(file: str, name: str, level: int) -> None:
    code = compile(f"import logging\nlogging.getLogger({name!r}).log({level}, 'hello')", file, "exec")
    exec(code)


@in_worker
def test_libraries_are_heard_when_they_warn(worker: Worker):
    installed = f"{sysconfig.get_paths()['purelib']}/lib/mod.py"
    log_from(installed, "lib.info", logging.INFO)
    log_from(installed, "lib.warning", logging.WARNING)
    log_from(installed, "noisy.warning", logging.WARNING)
    log_from(installed, "noisy.error", logging.ERROR)
    log_from(installed, "package.info", logging.INFO)
    log_from("/home/me/train.py", "user.info", logging.INFO)
    worker.capture.record_filter.own = frozenset({"package"})
    log_from(installed, "package.more", logging.INFO)
    logging.getLogger("wanted").setLevel(logging.DEBUG)
    log_from(installed, "wanted.debug", logging.DEBUG)
    heard = [source for source, _ in worker.lines()]
    assert heard == ["lib.warning", "noisy.error", "user.info", "package.more", "wanted.debug"]


@in_worker
def test_what_was_not_taken_can_be_read_from_the_files(worker: Worker):
    print("taken")
    print("part", end="")
    output = worker.capture.take()
    assert output is not None
    assert [line.text for line in output.lines] == ["taken"]
    print(" of a line")
    print("last words", end="")
    out, err = output.places
    assert lines_since(out) == [("part of a line", 0), ("last words", 0)]
    assert lines_since(err) == []
    worker.capture.take(whole=True)
    print("more")
    assert [line.text for line in worker.taken()] == ["more"]


@in_worker
def test_user_code_that_closes_all_descriptors_still_prints(worker: Worker):
    print("one")
    for stream in worker.capture._streams:
        os.close(stream._file._reader)
    print("two")
    logging.getLogger("model").info("three")
    assert [text for _, text in worker.lines()] == ["one", "two", "three"]
    assert worker.capture.places() == ()


@in_worker
def test_a_full_disk_is_no_fault_of_who_listens(worker: Worker):
    worker.capture.begin("trial-1")
    sys.stdout.original = sys.stdout.stream
    print("whole")
    with redirected(_OUT, "/dev/full"):
        print("part", end="")
        assert [line.text for line in worker.taken()] == ["whole"]
        worker.capture.begin("trial-2")
        print("still there", file=sys.stderr)
        assert [line[0::4] for line in worker.taken()] == [("trial-2", "still there")]
    print(" of a line")
    assert [line[0::4] for line in worker.taken()] == [("trial-2", "part of a line")]


@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError])
def test_whatever_fails_in_a_stream_the_trial_does_not_notice(error: type[Exception]):
    class Broken:
        def write(self, text: str) -> None: ...

        def flush(self) -> None:
            raise error

    before = sys.stdout
    sys.stdout = Broken()
    capture = Capture()
    capture.install()
    try:
        print("part", end="")
        capture.begin("trial-1")
        print("part", end="")
        print("heard", file=sys.stderr)
        output = capture.take(whole=True)
        assert output is not None
        assert ("trial-1", "heard") in [line[0::4] for line in output.lines]
    finally:
        capture.remove()
        sys.stdout = before


@in_worker
def test_a_stream_that_is_led_elsewhere_for_a_while(worker: Worker):
    print("one")
    print("two")
    for place in (os.devnull, str(worker.out.with_name("elsewhere"))):
        with redirected(_OUT, place):
            print("silenced")
            logging.getLogger("model").info("not silenced")
            assert [place.source for place in worker.capture.places()] == ["stderr"]
        print("back")
    heard = ["one", "two", "not silenced", "back", "not silenced", "back"]
    assert [text for _, text in worker.lines()] == heard
    print("three")
    assert worker.lines() == [("stdout", "three")]


@in_worker
def test_files_of_others_are_not_read(worker: Worker):
    worker.capture.remove()
    worker.capture = Capture(is_own=lambda path: path == str(worker.err))
    worker.capture.install()
    for descriptor in (_OUT, _ERR):
        os.write(descriptor, b"by others\n")
    print("mine")
    assert sorted(worker.lines()) == [("stderr", "by others"), ("stdout", "mine")]
    assert [place.source for place in worker.capture.places()] == ["stderr"]


@in_worker
def test_a_file_that_both_streams_lead_to_is_not_read(worker: Worker):
    worker.capture.remove()
    worker.capture = Capture()
    os.dup2(_OUT, _ERR)
    worker.capture.install()
    print("one")
    print("two", file=sys.stderr)
    print("three")
    heard = [("stdout", "one"), ("stderr", "two"), ("stdout", "three")]
    assert worker.lines(whole=True) == heard
    assert worker.capture.places() == ()


@in_worker
def test_who_prints_while_logging_is_configured_waits_for_nobody(worker: Worker):
    logger = logging.getLogger("model.part")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.propagate = False
    logger.info("once")  # it now knows its level
    thread = threading.Thread(target=lambda: logger.info("from a thread"), daemon=True)

    def make() -> logging.Handler:
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        print("making a handler")
        return logging.NullHandler()

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"new": {"()": make}},
            "root": {"handlers": ["new"]},
        }
    )
    assert worker.lines() == [
        ("model.part", "once"),
        ("model.part", "from a thread"),
        ("stdout", "making a handler"),
    ]


@in_worker
def test_a_stream_is_copied_pickled_and_entered_like_any_other(worker: Worker):
    for twin in (copy.copy(sys.stdout), copy.deepcopy(sys.stdout), pickle.loads(pickle.dumps(sys.stdout))):
        assert twin is sys.stdout
    with sys.stderr as stream:
        stream.write("one\n")
    print("two", file=sys.stderr)
    assert worker.lines() == [("stderr", "one"), ("stderr", "two")]
    with pytest.raises(AttributeError):
        _ = type(sys.stdout).__new__(type(sys.stdout)).encoding


def test_streams_that_are_no_files(capfd: pytest.CaptureFixture[str]):
    capture = Capture()
    capture.install()
    try:
        print("hello")
        assert [line.text for line in (capture.take() or ((), ()))[0]] == ["hello"]
        assert sys.stdout.isatty() is False
    finally:
        capture.remove()
    print("unheard")
    assert capture.take() is None


@in_worker
def test_printing_costs_little(worker: Worker):
    def seconds(number: int) -> float:
        began = time.perf_counter()
        for _ in range(number):
            print("step 17: loss=0.123")
        return time.perf_counter() - began

    heard = min(seconds(20_000) for _ in range(3))
    assert heard < 20_000 * 100e-6
