"""Buffers lines until they are handed over, in bounded memory."""

from collections import deque

from tune_flows.worker.output.line import Line

__all__ = ["HeadTailBuffer"]

_MOST_LINES = 100
_MOST_CHARS = 128 * 1024


class HeadTailBuffer:
    """Keeps the first and the newest lines since the last `take`, and counts those between them.

    The first lines show how a run began, the newest ones what happened before its end.

    Args:
        most_lines: Maximum number of the first lines, and of the newest lines.
        most_chars: Maximum number of characters, likewise.
    """

    def __init__(self, most_lines: int = _MOST_LINES, most_chars: int = _MOST_CHARS) -> None:
        self._most_lines = most_lines
        self._most_chars = most_chars
        self._clear()

    def __len__(self) -> int:
        return len(self._first) + len(self._newest)

    def add(self, line: Line) -> None:
        """Add a line, which may remove older ones."""
        size = len(line.text)
        if self._is_filling:
            if len(self._first) < self._most_lines and self._first_chars + size <= self._most_chars:
                self._first.append(line)
                self._first_chars += size
                return
            self._is_filling = False
        self._newest.append(line)
        self._newest_chars += size
        while len(self._newest) > self._most_lines or self._newest_chars > self._most_chars:
            gone = self._newest.popleft()
            self._newest_chars -= len(gone.text)
            self._left_out += gone.left_out or 1

    def take(self) -> tuple[Line, ...]:
        """Return the lines since the last call, in order, with a line that counts those left out."""
        gap: tuple[Line, ...] = ()
        if self._left_out:
            beside = self._newest[0] if self._newest else self._first[-1]
            gap = (beside._replace(text="", left_out=self._left_out),)
        taken = (*self._first, *gap, *self._newest)
        self._clear()
        return taken

    def _clear(self) -> None:
        self._first: list[Line] = []
        self._newest: deque[Line] = deque()
        self._first_chars = self._newest_chars = self._left_out = 0
        self._is_filling = True
