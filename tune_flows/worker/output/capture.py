"""Hears what user code prints and logs in this process.

Rules of this module:

- Everything still goes where it went before: into the files that the streams of the process lead to.
- Listening never fails: what cannot be heard is missing.
- `print` and the like are heard at `sys.stdout` and `sys.stderr`: in order, whichever thread it is. What
  comes to the same files another way (child processes, C code, handlers that hold the streams of before) is
  read from there. There is no pipe, so nobody can wait for us: not a fork, not C code that holds the GIL.
  Where the streams do not lead to files, only Python's output is heard.
- Log records are heard by the handler of last resort, which Python asks for those that nobody handles.
  Whoever configures handlers finds logging as it is elsewhere; what they write here keeps its level.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO, cast

from tune_flows.worker.output.line import Output
from tune_flows.worker.output.line_sink import LineSink
from tune_flows.worker.output.log_file import LogPlace
from tune_flows.worker.output.records import RecordFilter
from tune_flows.worker.output.stream import FallbackHandler, TeeStream, own_files

__all__ = ["Capture"]


class Capture:
    """Captures this process's output between `install` and `remove`; a process has one at a time.

    Args:
        noise: Tells lines that are not the user's, in files that others write to as well.
        is_own: Tells by its path whether a file is this process's own: in others, and in one that both
            streams lead to, nothing is read.
        noisy_loggers: Packages whose log records are heard only when they are errors.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        *,
        noise: Callable[[str], bool] = lambda _: False,
        is_own: Callable[[str], bool] = lambda _: True,
        noisy_loggers: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.record_filter = RecordFilter(noisy=frozenset(noisy_loggers))
        """Decides which log records are heard."""
        self._sink = LineSink(self.record_filter, noise, clock)
        self._is_own = is_own
        self._lock = threading.RLock()  # a signal handler may print while its thread is in here
        self._streams: tuple[TeeStream, ...] = ()
        self._before: tuple[Any, ...] = ()

    def install(self) -> None:
        """Begin to listen."""
        root = logging.getLogger()
        self._before = sys.stdout, sys.stderr, logging.lastResort, root.level
        out_file, err_file = own_files((sys.stdout, sys.stderr), self._is_own)
        out = TeeStream("stdout", sys.stdout, out_file, self._sink, self._lock)
        err = TeeStream("stderr", sys.stderr, err_file, self._sink, self._lock)
        self._streams = (out, err)
        sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
        logging.lastResort = cast("Any", FallbackHandler(err))
        for handler in root.handlers:  # configured while the user's modules were imported
            for stream in self._streams:
                if isinstance(handler, logging.StreamHandler) and handler.stream is stream.original:
                    cast("logging.StreamHandler[Any]", handler).setStream(stream)
        if root.level == logging.WARNING:  # nobody has set it
            root.setLevel(logging.INFO)

    def remove(self) -> None:
        """Listen no longer."""
        sys.stdout, sys.stderr, logging.lastResort, level = self._before
        logging.getLogger().setLevel(level)
        for stream in self._streams:
            stream.close()
        self._streams = ()

    def begin(self, trial_id: str) -> None:
        """What comes from now on is this trial's."""
        with self._lock:
            self._gather(whole=True)
            self._sink.trial_id = trial_id

    def take(self, *, whole: bool = False) -> Output | None:
        """What came since the last call; None: nothing.

        Args:
            whole: Whether a line that has no end yet is taken as it stands: nothing follows.
        """
        with self._lock:
            self._gather(whole=whole)
            if not self._sink.lines:
                return None
            return Output(self._sink.lines.take(), self.places())

    def places(self) -> tuple[LogPlace, ...]:
        """The files that it reads."""
        with self._lock:
            places = [stream.place() for stream in self._streams]
        return tuple(place for place in places if place is not None)

    def _gather(self, *, whole: bool) -> None:
        for stream in self._streams:
            with suppress(Exception):  # a trial does not end because its output is lost
                stream.gather(whole=whole)
