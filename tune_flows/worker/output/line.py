"""Lines of output on their way from a worker to the log of a task run."""

from typing import NamedTuple

from tune_flows.worker.output.log_file import LogPlace

__all__ = ["Line", "Output"]


class Line(NamedTuple):
    """One line that was printed, one log record, or a number of lines that were left out in its place."""

    trial_id: str
    """Whose it is; empty: printed before the first trial, such as by the import of the trainable."""
    created: float
    """Unix time in seconds."""
    level: int
    """As in `logging`."""
    source: str
    """`stdout`, `stderr`, or the name of the logger."""
    text: str
    """Without an end of line; only a log record has several lines."""
    left_out: int = 0
    """Lines that are missing here; such a line has no text."""


class Output(NamedTuple):
    """What a worker hands over at a time."""

    lines: tuple[Line, ...]
    places: tuple[LogPlace, ...]
    """Where what comes next can be read."""
