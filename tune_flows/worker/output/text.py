"""Converts text that is written to a stream to lines for a log."""

import re

__all__ = ["MAX_CHARS", "Assembler", "cleaned", "shortened"]

MAX_CHARS = 4_000
"""Maximum number of characters kept of a line."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# A database may reject NUL, and JSON lone surrogates.
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def cleaned(text: str) -> str:
    """Return the text without colours and cursor movements, each unreadable character replaced by a mark."""
    if text.isprintable():
        return text
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", text))


def shortened(text: str, missing: int = 0) -> str:
    """Return at most `MAX_CHARS` of the text and a note of the number cut; `missing` were cut before."""
    missing += max(0, len(text) - MAX_CHARS)
    return f"{text[:MAX_CHARS]} [{missing:,} characters cut]" if missing else text


class Assembler:
    """Assembles lines from pieces of text; holds at most `MAX_CHARS` of an unfinished line.

    A carriage return restarts the line, so that only the last state of a progress bar is kept. Empty lines
    are dropped.
    """

    def __init__(self) -> None:
        self._line = ""
        self._cut = 0
        self._returned = False

    def feed(self, text: str) -> list[str]:
        """Add a piece of text and return the lines that it completes."""
        *ended, rest = text.split("\n")
        lines: list[str] = []
        for piece in ended:
            self._add(piece)
            lines += self.end()
        self._add(rest)
        return lines

    def end(self) -> list[str]:
        """Return the unfinished line and clear it; an empty list if it is empty."""
        text, cut = self._line, self._cut
        self._line, self._cut, self._returned = "", 0, False
        line = shortened(cleaned(text).rstrip(), cut)
        return [line] if line else []

    def _add(self, piece: str) -> None:
        if not piece:
            return
        for number, part in enumerate(piece.split("\r") if "\r" in piece else (piece,)):
            if number:
                self._returned = True
            if not part:
                continue
            if self._returned:
                self._line, self._cut, self._returned = "", 0, False
            room = MAX_CHARS - len(self._line)
            self._line += part[:room]
            self._cut += max(0, len(part) - room)
