"""Lines of output that a worker sends to the log of a task run."""

from typing import NamedTuple

from tune_flows.worker.output.log_file import LogPlace

__all__ = ["Line", "Output"]


class Line(NamedTuple):
    """A printed line, a log record, or a placeholder for a number of lines that were left out."""

    trial_id: str
    """The trial that printed it; empty: printed before the first trial, e.g. on import of the trainable."""
    created: float
    """Unix time in seconds."""
    level: int
    """Level of the `logging` module."""
    source: str
    """`stdout`, `stderr`, or the name of the logger."""
    text: str
    """Text without a trailing newline; only a log record may have several lines."""
    left_out: int = 0
    """Number of lines that were left out here; a line with such a number has no text."""


class Output(NamedTuple):
    """Output that a worker hands over in one call."""

    lines: tuple[Line, ...]
    places: tuple[LogPlace, ...]
    """The files from which later output can be read."""
