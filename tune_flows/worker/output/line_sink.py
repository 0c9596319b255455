"""Collects captured output of all sources in order."""

import logging
from collections.abc import Callable, Iterable

from tune_flows.worker.output.head_tail_buffer import HeadTailBuffer
from tune_flows.worker.output.line import Line
from tune_flows.worker.output.records import RecordFilter
from tune_flows.worker.output.text import cleaned, shortened

__all__ = ["LineSink"]


class LineSink:
    """Collects captured output as `Line`s. The caller must hold a lock.

    Args:
        audience: Decides which log records are captured.
        noise: Returns whether a line that was read from a file is not the user's.
        clock: Returns the Unix time in seconds.
    """

    def __init__(
        self, record_filter: RecordFilter, noise: Callable[[str], bool], clock: Callable[[], float]
    ) -> None:
        self.record_filter = record_filter
        self.lines = HeadTailBuffer()
        self.trial_id = ""
        """The trial to which new output belongs; empty before the first one."""
        self._noise = noise
        self._clock = clock

    def hear(self, source: str, texts: Iterable[str]) -> None:
        """Add lines that this process printed."""
        for text in texts:
            self.lines.add(Line(self.trial_id, self._clock(), logging.INFO, source, text))

    def hear_others(self, source: str, texts: Iterable[str]) -> None:
        """Add lines that were read from a file, except noise."""
        self.hear(source, [text for text in texts if not self._noise(text)])

    def hear_record(self, record: logging.LogRecord, text: str) -> None:
        """Add a log record with its formatted text."""
        text = shortened("\n".join(map(cleaned, text.rstrip().split("\n"))))
        self.lines.add(Line(self.trial_id, record.created, record.levelno, record.name, text))

    def miss(self, source: str, number: int) -> None:
        """Note that `number` lines were not read."""
        if number:
            self.lines.add(Line(self.trial_id, self._clock(), logging.INFO, source, "", number))
