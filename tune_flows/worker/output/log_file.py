"""The file that a worker's stdout or stderr goes to, read beside those who write to it.

What a child process or C code writes is found here, and so is what a process that crashed wrote last.
"""

import os
import stat
from typing import NamedTuple

from tune_flows.worker.output.text import Assembler

__all__ = ["LogFile", "LogPlace", "Passage", "lines_since", "passage"]

_FIRST = 64 * 1024
_LAST = 128 * 1024
"""Bytes that are read of the begin and the end of a passage; what is between them is only counted."""
_CHUNK = 1024 * 1024


class Passage(NamedTuple):
    """Part of a file; of a long one the begin and the end."""

    first: bytes
    left_out: int = 0
    """Ends of line that were left out between the two."""
    last: bytes = b""


class LogPlace(NamedTuple):
    """Where the output of a worker lies on its node: for whoever reads it when the worker is gone."""

    source: str
    """`stdout` or `stderr`."""
    path: str
    mark: int
    """Up to which byte all lines have been handed over."""


class LogFile:
    """A file that a descriptor of this process appends to, from its present end on.

    Args:
        writer: The descriptor.
        reader: Another one for the same file.
    """

    def __init__(self, writer: int, reader: int) -> None:
        self._writer = writer
        self._reader = reader
        self._known = os.fstat(reader).st_size
        self.line_begin = self._known
        """Where the line begins that has no end yet."""

    @classmethod
    def behind(cls, descriptor: int) -> "LogFile | None":
        """The file that the descriptor appends to; None: it is none, or the system does not tell."""
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return cls(descriptor, os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY))
        except OSError:
            return None

    @property
    def path(self) -> str:
        """Where it lies."""
        return os.readlink(f"/proc/self/fd/{self._writer}")

    @property
    def identity(self) -> tuple[int, int]:
        """The same for two descriptors of one file."""
        found = os.fstat(self._reader)
        return found.st_dev, found.st_ino

    def place(self, source: str) -> LogPlace | None:
        """Where it can be read; None: user code has led the descriptor elsewhere."""
        return LogPlace(source, self.path, self.line_begin) if self._is_written() else None

    def close(self) -> None:
        """Read no more."""
        os.close(self._reader)

    def wrote(self, text: str) -> Passage | None:
        """This process has written `text`, in whatever pieces, since the last call.

        Returns:
            None: nobody else has written since then. Otherwise everything that was, `text` included: nothing
            while user code has led the descriptor elsewhere.
        """
        if not text:
            return None
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        end = self._written_to()
        if end - size != self._known and not self._is_written():
            return Passage(b"")
        if end < self._known:  # somebody has emptied the file
            self._known = self.line_begin = end - size
        if end - size != self._known:
            return self._up_to(end)
        self._known = end
        if "\n" in text:
            self.line_begin = end - len(text.rpartition("\n")[2].encode(errors="surrogatepass"))
        return None

    def wrote_apart(self, text: str) -> Passage | None:
        """As `wrote`, of a text that was written in one piece, but only what others have written."""
        found = self.wrote(text)
        if found is None:
            return None
        own = text.encode(errors="surrogatepass")
        if own in found.last:
            return found._replace(last=_without(found.last, own))
        return found._replace(first=_without(found.first, own))

    def others(self) -> Passage | None:
        """What others have written at the end of the file, if anything."""
        end = os.fstat(self._reader).st_size
        if end < self._known:
            self._known = self.line_begin = 0
        return self._up_to(end) if end > self._known else None

    def end_line(self) -> None:
        """What there is of the last line counts as handed over."""
        self.line_begin = self._known

    def _written_to(self) -> int:
        """The byte to which the last write has moved the descriptor; below 0: it has none, as in a pipe."""
        try:
            return os.lseek(self._writer, 0, os.SEEK_CUR)
        except OSError:
            return -1

    def _is_written(self) -> bool:
        """Whether the descriptor still leads to the file."""
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
    """What lies between two bytes of a file; of a long passage the begin and the end, in whole lines."""
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
    """The lines of a file from the mark of its place on, each with how many were left out before it.

    Raises:
        OSError: It is not there.
    """
    with open(place.path, "rb") as file:
        found = passage(file.fileno(), place.mark, os.fstat(file.fileno()).st_size)
    lines: list[tuple[str, int]] = []
    for part, left_out in ((found.first, 0), (found.last, found.left_out)):
        assembler = Assembler()
        texts = assembler.feed(part.decode(errors="replace")) + assembler.end()
        lines += [(text, 0 if number else left_out) for number, text in enumerate(texts)]
    return lines
