"""What one trial has done since it started here, counted and judged in one place."""

from typing import Any, Protocol

from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.trainable.messages import StartTrial

__all__ = ["Criteria", "Ledger"]


class Criteria(Protocol):
    """Stop criteria, such as `tune_flows.stoppers.StopCriteria`."""

    def reason(self, result: Result) -> str | None:
        """Why the trial ends with this result; None: it goes on."""
        ...


class Ledger:
    """Counts iterations, turns metrics into results and says when it is time to wait or to end."""

    __slots__ = (
        "_known",
        "_stop",
        "_time_total_s",
        "checkpoints",
        "ended",
        "iteration",
        "results",
        "save_at",
        "until",
    )

    def __init__(self, start: StartTrial, stop: Criteria) -> None:
        self._known = start.iteration
        self._stop = stop
        self._time_total_s = start.time_total_s
        self.iteration = start.checkpoint.iteration if start.checkpoint else 0
        self.until: int | None = None
        self.save_at: int | None = None
        self.results: list[Result] = []
        self.checkpoints: list[CheckpointRef] = []
        self.ended: str | None = None
        """Why the trial has ended itself."""

    @property
    def due(self) -> bool:
        """Whether the trial stands at its decision point."""
        return self.until is not None and self.iteration >= self.until

    def add(
        self, metrics: dict[str, Any], seconds: float, timestamp: float, *, reason: str | None = None
    ) -> None:
        """One more iteration is done; with a `reason` it is the last one.

        An iteration that was journalled already is repeated: it counts no time and gives no result, but it
        may end the trial as it would have then.
        """
        self.iteration += 1
        fresh = self.iteration > self._known
        if fresh:
            self._time_total_s += seconds
        result = Result(self.iteration, metrics, seconds, self._time_total_s, timestamp, reason is not None)
        if reason is None:
            reason = self._stop.reason(result)
            if reason is not None:
                result = Result(self.iteration, metrics, seconds, self._time_total_s, timestamp, done=True)
        self.ended = reason
        if fresh:
            self.results.append(result)

    def take(self) -> tuple[tuple[Result, ...], tuple[CheckpointRef, ...]]:
        """Results and checkpoints since the last call."""
        taken = tuple(self.results), tuple(self.checkpoints)
        self.results, self.checkpoints = [], []
        return taken
