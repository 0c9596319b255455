"""Output of the commands: text, tables that fit the terminal, JSON for programs."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = ["console", "fields", "grid", "print_json", "show_all", "strict"]

_UNLIMITED = 1000
"""Width in columns if the output is not a terminal: a program needs every cell uncut."""


def console() -> "Console":
    """Return a console for standard output; wide and without control codes if it is not a terminal."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNLIMITED
    return Output(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def show_all(*what: "RenderableType") -> None:
    """Print the items below each other, without trailing blanks."""
    output = console()
    with output.capture() as captured:
        for one in what:
            output.print(one)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    sys.stdout.flush()


def fields(pairs: Iterable[tuple[str, str]]) -> "Table":
    """Return a table of names and values, one pair per line; values are wrapped, never cut."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    return table


def grid(columns: Iterable[tuple[str, Mapping[str, Any]]], rows: Iterable[Iterable[str]]) -> "Table":
    """Return a table without a frame, each row on one line.

    Args:
        columns: Title and rich options of each column; one with `"no_wrap": False` is cut if the terminal is
            narrow. Titles may repeat, as a metric may have the name of another column.
        rows: The cells of each row, as text.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title, options in columns:
        description: dict[str, Any] = {"no_wrap": True, **options}
        table.add_column(title, **description)
    for row in rows:
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    return table


def print_json(value: object) -> None:
    """Print one JSON value, strictly: null for NaN and infinities."""
    sys.stdout.write(f"{json.dumps(strict(value), indent=2, allow_nan=False)}\n")
    sys.stdout.flush()


def strict(value: object) -> object:
    """Return a strict JSON value: null for NaN, infinities and missing values, ISO text for times."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): strict(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [strict(item) for item in cast("list[object]", value)]
    return value
