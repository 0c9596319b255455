"""Tracks what one trial has done since it started in this worker."""

from dataclasses import replace
from typing import Any, Protocol

from tune_flows.core.trial import Result
from tune_flows.worker.messages import StartTrial

__all__ = ["Criteria", "ProgressTracker"]


class Criteria(Protocol):
    """Stop criteria, such as `tune_flows.stoppers.StopCriteria`."""

    def reason(self, result: Result) -> str | None:
        """Return why the trial ends with this result; None: it continues."""
        ...


class ProgressTracker:
    """Counts iterations, turns metrics into results and determines when the trial must wait or end."""

    __slots__ = (
        "_known",
        "_stop",
        "_time_total_s",
        "ended",
        "handed_over",
        "iteration",
        "last",
        "results",
        "save_at",
        "until",
    )

    def __init__(self, start: StartTrial, stop: Criteria) -> None:
        self._known = start.iteration
        self._stop = stop
        self._time_total_s = start.time_total_s
        self.iteration = start.checkpoint.iteration if start.checkpoint else 0
        self.handed_over = self.iteration
        """Iteration up to which the results have been taken."""
        self.last: Result | None = None
        """Result of the newest iteration; None before the first iteration in this worker."""
        self.until: int | None = None
        self.save_at: int | None = None
        self.results: list[Result] = []
        self.ended: str | None = None
        """Why the trial has ended by itself; None: it has not."""

    @property
    def due(self) -> bool:
        """Whether the trial has reached its decision point."""
        return self.until is not None and self.iteration >= self.until

    def evaluate(
        self, metrics: dict[str, Any], seconds: float, timestamp: float, *, reason: str | None = None
    ) -> tuple[Result, str | None]:
        """Return the next iteration's result, not counted yet, and why it is the last one; None: it is not.

        An iteration that was journalled already adds nothing to the total time, but it may end the trial as
        it did when it was first run.

        Args:
            metrics: The reported metrics.
            seconds: How long the iteration took.
            timestamp: Unix time in seconds at its end.
            reason: Why it is the last one regardless of the stop criteria; None: they decide.
        """
        iteration = self.iteration + 1
        time_total_s = self._time_total_s + (seconds if iteration > self._known else 0.0)
        result = Result(iteration, metrics, seconds, time_total_s, timestamp, reason is not None)
        if reason is None:
            reason = self._stop.reason(result)
        return (result if reason is None else replace(result, done=True)), reason

    def add(self, result: Result, reason: str | None) -> None:
        """Count a result of `evaluate`; the result of a repeated iteration is not handed over."""
        self.iteration, self._time_total_s = result.iteration, result.time_total_s
        self.ended, self.last = reason, result
        if result.iteration > self._known:
            self.results.append(result)

    def take(self) -> tuple[Result, ...]:
        """Return the results since the last call."""
        taken, self.results = tuple(self.results), []
        self.handed_over = self.iteration
        return taken
