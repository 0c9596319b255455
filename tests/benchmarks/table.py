"""A table on the terminal: texts to the left, figures to the right."""

from collections.abc import Sequence

GAP = "  "


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> None:
    """Print rows under their titles; the first `texts` columns are texts."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        cells = [
            f"{cell:{'<' if column < texts else '>'}{width}}"
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print(GAP.join(cells).rstrip())


def span(values: Sequence[float], form: str) -> str:
    """The smallest and the largest value."""
    return f"{min(values):{form}} to {max(values):{form}}"
