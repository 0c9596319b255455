"""Captures what user code prints and logs in this process.

Rules of this module:

- All output still goes where it went before: to the files behind the streams of the process.
- Capturing never raises: output that cannot be captured is missing.
- The output of `print` etc. is captured at `sys.stdout` and `sys.stderr`, in order across all threads. Output
  that reaches the same files another way (child processes, C code, handlers that hold the original streams)
  is read from the files. No pipe is used, since a fork, or C code that holds the GIL, could block on it.
  Where the streams do not lead to files, only Python's output is captured.
- Log records without a handler are captured by the handler of last resort, which Python calls for them.
  Handlers that user code configures work as usual; records that they write to the streams keep their level.
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
        noise: Returns whether a line is not the user's; applied to lines read from the files.
        is_own: Returns whether the file at a path belongs to this process alone. Other files, and a file
            that both streams lead to, are not read.
        noisy_loggers: Packages whose log records are captured only if they are errors.
        clock: Returns the Unix time in seconds.
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
        """Decides which log records are captured."""
        self._sink = LineSink(self.record_filter, noise, clock)
        self._is_own = is_own
        self._lock = threading.RLock()  # a signal handler may print while its thread holds the lock
        self._streams: tuple[TeeStream, ...] = ()
        self._before: tuple[Any, ...] = ()

    def install(self) -> None:
        """Start capturing."""
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
        if root.level == logging.WARNING:  # the default
            root.setLevel(logging.INFO)

    def remove(self) -> None:
        """Stop capturing and restore the original streams."""
        sys.stdout, sys.stderr, logging.lastResort, level = self._before
        logging.getLogger().setLevel(level)
        for stream in self._streams:
            stream.close()
        self._streams = ()

    def begin(self, trial_id: str) -> None:
        """Assign all output from now on to this trial."""
        with self._lock:
            self._gather(whole=True)
            self._sink.trial_id = trial_id

    def take(self, *, whole: bool = False) -> Output | None:
        """Return the output since the last call; None: there is none.

        Args:
            whole: Whether to include an unfinished line, as no more output follows.
        """
        with self._lock:
            self._gather(whole=whole)
            if not self._sink.lines:
                return None
            return Output(self._sink.lines.take(), self.places())

    def places(self) -> tuple[LogPlace, ...]:
        """Return the files that are read."""
        with self._lock:
            places = [stream.place() for stream in self._streams]
        return tuple(place for place in places if place is not None)

    def _gather(self, *, whole: bool) -> None:
        for stream in self._streams:
            with suppress(Exception):  # lost output must not end a trial
                stream.gather(whole=whole)
