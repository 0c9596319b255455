"""What stands in place of `sys.stdout` and `sys.stderr` in a worker."""

import codecs
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any, Self, TextIO, TypeVar

from tune_flows.worker.output.line_sink import LineSink
from tune_flows.worker.output.log_file import LogFile, LogPlace, Passage
from tune_flows.worker.output.text import Assembler

__all__ = ["FallbackHandler", "TeeStream", "own_files"]

T = TypeVar("T")

_EMIT = logging.StreamHandler.emit.__code__
_MOST_HELD = 4_096
"""Characters of a line that are held until it ends."""


class _Process:
    """Whether this one is a fork of the one that listens."""

    is_fork = False

    @classmethod
    def forked(cls) -> None:
        """It is."""
        cls.is_fork = True


os.register_at_fork(after_in_child=_Process.forked)


class TeeStream:
    """Passes everything on to the stream of before, and has it heard.

    Args:
        name: `stdout` or `stderr`.
        original: The stream of before.
        file: The file that it leads to, in which others are heard; None: they are not.
        sink: Hears it.
        lock: Held while something is written, so that all streams together are heard in order. Who holds it
            waits for no lock that others may hold while they print, such as that of `logging`.
    """

    def __init__(
        self,
        name: str,
        original: TextIO,
        file: LogFile | None,
        sink: LineSink,
        lock: AbstractContextManager[Any],
    ) -> None:
        self.name = name
        self.original = original
        self._sink = sink
        self._lock = lock
        self._held: list[str] = []
        """What was written and is heard with the end of its line: there may be others to be heard before."""
        self._held_chars = 0
        self._assembler = Assembler()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._file = file
        _Process.is_fork = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        if name == "original":  # not there before `__init__`
            raise AttributeError(name)
        return getattr(self.original, name)

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return _present, (self.name,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()  # it stays open: others print here too

    def write(self, text: str) -> int:
        """Print."""
        if _Process.is_fork:
            self._write_as_fork(text)
            return len(text)
        # A handler of the user's has formatted a record: its level is to be had only where it is written.
        caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        if caller.f_code is _EMIT:
            record = caller.f_locals["record"]
            self._write_record(record, text, text if self._sink.record_filter.wants(record) else None)
            return len(text)
        with self._lock:
            self.original.write(text)
            self._held.append(text)
            self._held_chars += len(text)
            if "\n" in text or self._held_chars > _MOST_HELD:
                self._settle()
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Print several pieces."""
        for text in texts:
            self.write(text)

    def flush(self) -> None:
        """See to it that what was printed is written."""
        if not _Process.is_fork or self._file is None:
            self.original.flush()

    def log(self, record: logging.LogRecord, text: str) -> None:
        """A record that no handler of the user's has taken."""
        if not self._sink.record_filter.wants(record):
            return
        line = f"{record.levelname} {record.name}: {text}\n"
        if _Process.is_fork:
            self._write_as_fork(line)
        else:
            self._write_record(record, line, text)

    def gather(self, *, whole: bool) -> None:
        """Hear what others have written; with `whole` also a line that has no end yet."""
        if self._held:
            self._settle()
        self._hear_others(self._asked(lambda file: file.others()))
        if whole:
            self._sink.hear_others(self.name, self._assembler.feed(self._decoder.decode(b"", final=True)))
            self._sink.hear_others(self.name, self._assembler.end())
            if self._file is not None:
                self._file.end_line()

    def place(self) -> LogPlace | None:
        """The file that it leads to; None: none."""
        return self._asked(lambda file: file.place(self.name))

    def close(self) -> None:
        """Hear no more of others."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_as_fork(self, text: str) -> None:
        """In a fork: its parent reads this from the file.

        A thread of the parent may have held the locks of the stream, and nobody here would ever free them.
        """
        if self._file is None:
            self.original.write(text)
        else:
            os.write(self.original.fileno(), text.encode(errors="replace"))

    def _write_record(self, record: logging.LogRecord, written: str, heard: str | None) -> None:
        """Write a record; `heard` is its text, or None when nobody wants it."""
        with self._lock:
            if self._held:
                self._settle()
            self.original.write(written)
            self.original.flush()
            self._hear_others(self._asked(lambda file: file.wrote_apart(written)))
            if heard is not None:
                self._sink.hear_record(record, heard)

    def _settle(self) -> None:
        """Hear what is held, or everything as it is in the file when others have written there too."""
        text = "".join(self._held)
        self._held.clear()
        self._held_chars = 0
        with suppress(OSError, ValueError):  # a full disk, or a closed stream: no fault of who listens
            self.original.flush()
        found = self._asked(lambda file: file.wrote(text))
        if found is None:
            self._sink.hear(self.name, self._assembler.feed(text))
        else:
            self._hear_others(found)

    def _asked(self, ask: Callable[[LogFile], T]) -> T | None:
        """What the file answers; None also when there is none, or user code has closed its descriptor."""
        try:
            return None if self._file is None else ask(self._file)
        except OSError:
            self._file = None
            return None

    def _hear_others(self, found: Passage | None) -> None:
        if found is None:
            return
        for part, left_out in ((found.first, 0), (found.last, found.left_out)):
            self._sink.miss(self.name, left_out)
            self._sink.hear_others(self.name, self._assembler.feed(self._decoder.decode(part)))


class FallbackHandler(logging.Handler):
    """The handler of last resort: takes the records that no handler of the user's takes.

    Args:
        stream: Where they are written to.
    """

    def __init__(self, stream: TeeStream) -> None:
        super().__init__()
        self._stream = stream

    def handle(self, record: logging.LogRecord) -> bool:
        """Without a lock of its own: a `__del__` may log on the thread that holds the stream's."""
        wanted: Any = self.filter(record)  # since Python 3.12 it may be another record
        if wanted:
            self.emit(wanted if isinstance(wanted, logging.LogRecord) else record)
        return bool(wanted)

    def emit(self, record: logging.LogRecord) -> None:
        """The message, and the traceback if there is one."""
        try:
            self._stream.log(record, self.format(record))
        except Exception:
            self.handleError(record)


def own_files(streams: Iterable[TextIO], is_own: Callable[[str], bool]) -> list[LogFile | None]:
    """The file that each stream leads to; None: none, or one where what is found may be of somebody else.

    Args:
        streams: Those of this process.
        is_own: Tells by its path whether a file is this process's own.
    """
    files = [_file_of(stream) for stream in streams]
    found = [file for file in files if file is not None]
    leading_to = Counter(file.identity for file in found)
    foreign = [file for file in found if leading_to[file.identity] > 1 or not is_own(file.path)]
    for file in foreign:
        file.close()
    return [None if file in foreign else file for file in files]


def _present(name: str) -> Any:  # noqa: ANN401 - a stream of whatever kind
    """What a copied or unpickled stream is: that of the process where it comes to."""
    return getattr(sys, name)


def _file_of(stream: TextIO) -> LogFile | None:
    try:
        return LogFile.behind(stream.fileno())
    except (OSError, ValueError, AttributeError):  # a stream without a descriptor
        return None
