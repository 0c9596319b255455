"""Faulted trials that wait for the runner to decide whether to retry them.

The runner decides on the events of one loop iteration before it requests the next ones. So a trial whose
fault it received, and that it has not launched again by then, is over.
"""

from collections.abc import Iterable

from tune_flows.core.events import Event, TrialFaulted
from tune_flows.executors.ray.segment import Segment

__all__ = ["PendingRetries"]


class PendingRetries:
    """Keeps the segments of faulted trials until each receives its trial's next launch, or None."""

    def __init__(self) -> None:
        self._accused: dict[str, Segment] = {}
        self._told: list[str] = []

    def add(self, trial_id: str, segment: Segment) -> None:
        """Add the segment in which the trial faulted; it waits for the decision."""
        self._accused[trial_id] = segment

    def pop(self, trial_id: str) -> Segment | None:
        """Remove and return the segment that waits for this trial's launch; None if there is none."""
        return self._accused.pop(trial_id, None)

    def told(self, events: Iterable[Event]) -> None:
        """Note the faults among the events that the runner receives."""
        self._told = [event.trial_id for event in events if isinstance(event, TrialFaulted)]

    def start_next_iteration(self) -> None:
        """Close the segments whose faults the runner has received and not retried."""
        for trial_id in self._told:
            self._close(trial_id)
        self._told = []

    def close(self) -> None:
        """Close all segments, because the runner makes no further decisions."""
        for trial_id in list(self._accused):
            self._close(trial_id)

    def _close(self, trial_id: str) -> None:
        segment = self.pop(trial_id)
        if segment is not None:
            segment.give(None)
