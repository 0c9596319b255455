"""From what is written to a stream to lines that a log can hold."""

import re

__all__ = ["MAX_CHARS", "Assembler", "cleaned", "shortened"]

MAX_CHARS = 4_000
"""Characters of a line that are kept."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# A database may refuse NUL, and JSON lone surrogates.
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def cleaned(text: str) -> str:
    """The text without colours and cursor movements, with a mark for each unreadable character."""
    if text.isprintable():
        return text
    return _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", _ESCAPES.sub("", text))


def shortened(text: str, missing: int = 0) -> str:
    """At most `MAX_CHARS` of the text, with a note of what was cut; `missing` were cut before."""
    missing += max(0, len(text) - MAX_CHARS)
    return f"{text[:MAX_CHARS]} [{missing:,} characters cut]" if missing else text


class Assembler:
    """Makes lines of pieces of text; holds one unfinished line of `MAX_CHARS` at most.

    A carriage return begins the line anew, so of a progress bar the last state is kept. A line that is empty
    is no line.
    """

    def __init__(self) -> None:
        self._line = ""
        self._cut = 0
        self._returned = False

    def feed(self, text: str) -> list[str]:
        """The lines that end with this piece."""
        *ended, rest = text.split("\n")
        lines: list[str] = []
        for piece in ended:
            self._add(piece)
            lines += self.end()
        self._add(rest)
        return lines

    def end(self) -> list[str]:
        """The unfinished line, as it stands; none when it is empty."""
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
