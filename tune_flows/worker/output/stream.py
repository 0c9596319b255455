"""Replacements for `sys.stdout` and `sys.stderr` in a worker."""

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
"""Maximum number of characters that are held until their line ends."""


class _Process:
    """Knows whether this process is a fork of the capturing one."""

    is_fork = False

    @classmethod
    def forked(cls) -> None:
        """Mark this process as a fork."""
        cls.is_fork = True


os.register_at_fork(after_in_child=_Process.forked)


class TeeStream:
    """Passes all output on to the original stream and captures it.

    Args:
        name: `stdout` or `stderr`.
        original: The original stream.
        file: The file that it leads to, to capture what others write there; None: it is not captured.
        sink: Receives the captured output.
        lock: Held during a write, so that the output of all streams is captured in order. Its holder must
            not wait for a lock that others may hold while they print, such as that of `logging`.
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
        """Text to capture when its line ends, since output of others may have to be captured before it."""
        self._held_chars = 0
        self._assembler = Assembler()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._file = file
        _Process.is_fork = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        if name == "original":  # not set before `__init__`
            raise AttributeError(name)
        return getattr(self.original, name)

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return _present, (self.name,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()  # not closed: others print here too

    def write(self, text: str) -> int:
        """Write to the original stream and capture the text."""
        if _Process.is_fork:
            self._write_as_fork(text)
            return len(text)
        # A user's handler writes a log record: its level is only available in the handler's frame.
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
        """Write several texts."""
        for text in texts:
            self.write(text)

    def flush(self) -> None:
        """Flush the original stream."""
        if not _Process.is_fork or self._file is None:
            self.original.flush()

    def log(self, record: logging.LogRecord, text: str) -> None:
        """Write and capture a log record that no user's handler has handled."""
        if not self._sink.record_filter.wants(record):
            return
        line = f"{record.levelname} {record.name}: {text}\n"
        if _Process.is_fork:
            self._write_as_fork(line)
        else:
            self._write_record(record, line, text)

    def gather(self, *, whole: bool) -> None:
        """Capture what others have written; with `whole`, including an unfinished line."""
        if self._held:
            self._settle()
        self._hear_others(self._asked(lambda file: file.others()))
        if whole:
            self._sink.hear_others(self.name, self._assembler.feed(self._decoder.decode(b"", final=True)))
            self._sink.hear_others(self.name, self._assembler.end())
            if self._file is not None:
                self._file.end_line()

    def place(self) -> LogPlace | None:
        """Return the file that the stream leads to; None: it has none."""
        return self._asked(lambda file: file.place(self.name))

    def close(self) -> None:
        """Stop capturing what others write."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_as_fork(self, text: str) -> None:
        """Write `text` in a fork, whose parent reads it from the file.

        It bypasses the stream, whose locks a thread of the parent may have held: they stay locked here.
        """
        if self._file is None:
            self.original.write(text)
        else:
            os.write(self.original.fileno(), text.encode(errors="replace"))

    def _write_record(self, record: logging.LogRecord, written: str, heard: str | None) -> None:
        """Write a log record; `heard` is the text to capture, or None to capture none."""
        with self._lock:
            if self._held:
                self._settle()
            self.original.write(written)
            self.original.flush()
            self._hear_others(self._asked(lambda file: file.wrote_apart(written)))
            if heard is not None:
                self._sink.hear_record(record, heard)

    def _settle(self) -> None:
        """Capture the held text, or read all of it from the file if others have written there too."""
        text = "".join(self._held)
        self._held.clear()
        self._held_chars = 0
        with suppress(OSError, ValueError):  # a full disk or a closed stream
            self.original.flush()
        found = self._asked(lambda file: file.wrote(text))
        if found is None:
            self._sink.hear(self.name, self._assembler.feed(text))
        else:
            self._hear_others(found)

    def _asked(self, ask: Callable[[LogFile], T]) -> T | None:
        """Return what `ask` returns; None if there is no file or user code has closed its descriptor."""
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
    """The handler of last resort, for records that no user's handler handles.

    Args:
        stream: The stream that the records are written to.
    """

    def __init__(self, stream: TeeStream) -> None:
        super().__init__()
        self._stream = stream

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record without a handler lock: a `__del__` may log while its thread holds the stream's."""
        wanted: Any = self.filter(record)  # since Python 3.12 it may be a different record
        if wanted:
            self.emit(wanted if isinstance(wanted, logging.LogRecord) else record)
        return bool(wanted)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message, and the traceback if there is one."""
        try:
            self._stream.log(record, self.format(record))
        except Exception:
            self.handleError(record)


def own_files(streams: Iterable[TextIO], is_own: Callable[[str], bool]) -> list[LogFile | None]:
    """Return the file that each stream leads to; None: none, or it may contain output of others.

    Args:
        streams: The streams of this process.
        is_own: Returns whether the file at a path belongs to this process alone.
    """
    files = [_file_of(stream) for stream in streams]
    found = [file for file in files if file is not None]
    leading_to = Counter(file.identity for file in found)
    foreign = [file for file in found if leading_to[file.identity] > 1 or not is_own(file.path)]
    for file in foreign:
        file.close()
    return [None if file in foreign else file for file in files]


def _present(name: str) -> Any:  # noqa: ANN401 - a stream of whatever kind
    """Return the current process's stream `name`, which replaces a copied or pickled stream."""
    return getattr(sys, name)


def _file_of(stream: TextIO) -> LogFile | None:
    try:
        return LogFile.behind(stream.fileno())
    except (OSError, ValueError, AttributeError):  # a stream without a descriptor
        return None
