"""Trials that faulted, until the runner has judged them.

The runner judges the events of one loop iteration before it asks for the next ones. So a trial whose fault it
was given, and that was not launched again by then, is over.
"""

from collections.abc import Iterable

from tune_flows.core.events import Event, TrialFaulted
from tune_flows.executors.ray.segment import Segment

__all__ = ["PendingRetries"]


class PendingRetries:
    """Keeps the segments that wait for the verdict on their trial; it is the next launch, or None."""

    def __init__(self) -> None:
        self._accused: dict[str, Segment] = {}
        self._told: list[str] = []

    def add(self, trial_id: str, segment: Segment) -> None:
        """The trial faulted in this segment, which waits."""
        self._accused[trial_id] = segment

    def pop(self, trial_id: str) -> Segment | None:
        """The segment that waits for this trial, which is launched now; None: none does."""
        return self._accused.pop(trial_id, None)

    def told(self, events: Iterable[Event]) -> None:
        """The runner is given these events."""
        self._told = [event.trial_id for event in events if isinstance(event, TrialFaulted)]

    def start_next_iteration(self) -> None:
        """The runner has judged what it was told of."""
        for trial_id in self._told:
            self._close(trial_id)
        self._told = []

    def close(self) -> None:
        """Nobody will judge any more."""
        for trial_id in list(self._accused):
            self._close(trial_id)

    def _close(self, trial_id: str) -> None:
        segment = self.pop(trial_id)
        if segment is not None:
            segment.give(None)
