"""Formats values for markdown and table cells: unchanged, on one line, never interpreted as markup."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from tune_flows.core.json_values import to_json

__all__ = ["cell", "code", "line", "size_bytes", "table"]


def line(value: object, most: int) -> str:
    """Return any JSON value as one line of at most `most` characters."""
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, str):
        text = value[: 4 * most]
    elif isinstance(value, dict | list | bool) or value is None:
        text = json.dumps(to_json(value), ensure_ascii=False, default=str)
    elif isinstance(value, int) and abs(value) >= 10**18:
        text = f"{Decimal(value):.6g}"  # floats end at 1e308
    else:
        text = str(value)
    # without line breaks and lone surrogates
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def code(value: object, most: int = 200) -> str:
    """Return a value as inline code, in which nothing is interpreted as markup."""
    text = line(value, most)
    if not text:
        return ""
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{room}{text}{room}{ticks}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table; the texts are markdown without line breaks."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(" | ".join(["", *map(_without_bars, cells), ""]).strip() for cells in lines)


def cell(value: Any, most: int) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value for a cell of a table artifact: numbers stay numbers, rounded; None stays None."""
    if value is None or isinstance(value, bool):
        return value if value is None else str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return line(value, most)


def size_bytes(value: object) -> int:
    """Return the size of a value as JSON, with all non-ASCII characters escaped."""
    return len(json.dumps(value))


def _without_bars(text: str) -> str:
    return text.replace("|", "\\|")
