"""Reads the file that a worker's stdout or stderr goes to, while processes write to it.

It contains the output of child processes and C code, and the last output of a process that crashed.
"""

import os
import stat
from typing import NamedTuple

from tune_flows.worker.output.text import Assembler

__all__ = ["LogFile", "LogPlace", "Passage", "lines_since", "passage"]

_FIRST = 64 * 1024
_LAST = 128 * 1024
"""Bytes to read at the begin and the end of a passage; lines between them are only counted."""
_CHUNK = 1024 * 1024


class Passage(NamedTuple):
    """A part of a file; if it is long, only its begin and end."""

    first: bytes
    left_out: int = 0
    """Number of line ends left out between `first` and `last`."""
    last: bytes = b""


class LogPlace(NamedTuple):
    """The file of a worker's output on its node, to be read after the worker is gone."""

    source: str
    """`stdout` or `stderr`."""
    path: str
    mark: int
    """Byte offset up to which all lines have been handed over."""


class LogFile:
    """Reads a file that a descriptor of this process appends to, from its current end on.

    Args:
        writer: The descriptor.
        reader: Another descriptor for the same file, to read from.
    """

    def __init__(self, writer: int, reader: int) -> None:
        self._writer = writer
        self._reader = reader
        self._known = os.fstat(reader).st_size
        self.line_begin = self._known
        """Byte offset at which the unfinished last line begins."""

    @classmethod
    def behind(cls, descriptor: int) -> "LogFile | None":
        """Return the file that the descriptor leads to; None: not a regular file, or it cannot be opened."""
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return cls(descriptor, os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY))
        except OSError:
            return None

    @property
    def path(self) -> str:
        """Path of the file."""
        return os.readlink(f"/proc/self/fd/{self._writer}")

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode, equal for two descriptors of one file."""
        found = os.fstat(self._reader)
        return found.st_dev, found.st_ino

    def place(self, source: str) -> LogPlace | None:
        """Return where the file can be read; None: user code has redirected the descriptor."""
        return LogPlace(source, self.path, self.line_begin) if self._is_written() else None

    def close(self) -> None:
        """Stop reading and close the reader."""
        os.close(self._reader)

    def wrote(self, text: str) -> Passage | None:
        """Account for `text`, which this process has written since the last call, in one or more pieces.

        Returns:
            None: only this process has written since then. Otherwise everything that was written, including
            `text`; an empty passage while user code has redirected the descriptor.
        """
        if not text:
            return None
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        end = self._written_to()
        if end - size != self._known and not self._is_written():
            return Passage(b"")
        if end < self._known:  # the file was truncated
            self._known = self.line_begin = end - size
        if end - size != self._known:
            return self._up_to(end)
        self._known = end
        if "\n" in text:
            self.line_begin = end - len(text.rpartition("\n")[2].encode(errors="surrogatepass"))
        return None

    def wrote_apart(self, text: str) -> Passage | None:
        """Account for a text written in one piece, as `wrote`, but return only what others have written."""
        found = self.wrote(text)
        if found is None:
            return None
        own = text.encode(errors="surrogatepass")
        if own in found.last:
            return found._replace(last=_without(found.last, own))
        return found._replace(first=_without(found.first, own))

    def others(self) -> Passage | None:
        """Return what others have appended to the file; None: nothing."""
        end = os.fstat(self._reader).st_size
        if end < self._known:
            self._known = self.line_begin = 0
        return self._up_to(end) if end > self._known else None

    def end_line(self) -> None:
        """Count the unfinished last line as handed over."""
        self.line_begin = self._known

    def _written_to(self) -> int:
        """Return the descriptor's offset after the last write; below 0: it has none, e.g. a pipe."""
        try:
            return os.lseek(self._writer, 0, os.SEEK_CUR)
        except OSError:
            return -1

    def _is_written(self) -> bool:
        """Return whether the descriptor still leads to the file."""
        return os.path.sameopenfile(self._writer, self._reader)

    def _up_to(self, end: int) -> Passage:
        found = passage(self._reader, self._known, end)
        self._known = end
        newest = found.last or found.first
        if b"\n" in newest:
            self.line_begin = end - (len(newest) - newest.rfind(b"\n") - 1)
        return found


def _without(text: bytes, part: bytes) -> bytes:
    before, found, after = text.rpartition(part)
    return before + after if found else text


def passage(reader: int, begin: int, end: int) -> Passage:
    """Read a file between two byte offsets; of a long passage only begin and end, in whole lines."""
    if end - begin <= _FIRST + _LAST:
        return Passage(os.pread(reader, end - begin, begin))
    first = os.pread(reader, _FIRST, begin)
    first = first[: first.rfind(b"\n") + 1]
    last = os.pread(reader, _LAST, end - _LAST)
    last = last[last.find(b"\n") + 1 :]
    at, stop, left_out = begin + len(first), end - len(last), 0
    while at < stop and (chunk := os.pread(reader, min(_CHUNK, stop - at), at)):
        left_out += chunk.count(b"\n")
        at += len(chunk)
    return Passage(first, left_out, last)


def lines_since(place: LogPlace) -> list[tuple[str, int]]:
    """Return the lines of a file after `place.mark`, each with the number of lines left out before it.

    Raises:
        OSError: The file cannot be read.
    """
    with open(place.path, "rb") as file:
        found = passage(file.fileno(), place.mark, os.fstat(file.fileno()).st_size)
    lines: list[tuple[str, int]] = []
    for part, left_out in ((found.first, 0), (found.last, found.left_out)):
        assembler = Assembler()
        texts = assembler.feed(part.decode(errors="replace")) + assembler.end()
        lines += [(text, 0 if number else left_out) for number, text in enumerate(texts)]
    return lines
