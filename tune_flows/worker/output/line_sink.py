"""Where everything that is heard comes together: one after the other, whoever said it."""

import logging
from collections.abc import Callable, Iterable

from tune_flows.worker.output.head_tail_buffer import HeadTailBuffer
from tune_flows.worker.output.line import Line
from tune_flows.worker.output.records import RecordFilter
from tune_flows.worker.output.text import cleaned, shortened

__all__ = ["LineSink"]


class LineSink:
    """Makes `Line`s for the tape. Its caller holds a lock.

    Args:
        audience: Decides which log records are heard.
        noise: Tells lines that are not the user's among those that others wrote.
        clock: Unix time in seconds.
    """

    def __init__(
        self, record_filter: RecordFilter, noise: Callable[[str], bool], clock: Callable[[], float]
    ) -> None:
        self.record_filter = record_filter
        self.lines = HeadTailBuffer()
        self.trial_id = ""
        """Whose output it is now."""
        self._noise = noise
        self._clock = clock

    def hear(self, source: str, texts: Iterable[str]) -> None:
        """Lines that this process printed."""
        for text in texts:
            self.lines.add(Line(self.trial_id, self._clock(), logging.INFO, source, text))

    def hear_others(self, source: str, texts: Iterable[str]) -> None:
        """Lines that somebody wrote to a file."""
        self.hear(source, [text for text in texts if not self._noise(text)])

    def hear_record(self, record: logging.LogRecord, text: str) -> None:
        """A log record that is wanted, as it was formatted."""
        text = shortened("\n".join(map(cleaned, text.rstrip().split("\n"))))
        self.lines.add(Line(self.trial_id, record.created, record.levelno, record.name, text))

    def miss(self, source: str, number: int) -> None:
        """So many lines were not even read."""
        if number:
            self.lines.add(Line(self.trial_id, self._clock(), logging.INFO, source, "", number))
