"""A snapshot of an experiment, as its artifacts show it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from tune_flows.core.objective import Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.plots import Axis, PlotData, Recorder, trial_points_of
from tune_flows.tasks.observers.artifacts.markdown import line

__all__ = ["Glance", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of the experiment without its trials."""

    target: int | None = 0
    ended: str | None = None
    stopped: str | None = None
    elapsed_s: float = 0.0
    time_budget_s: float | None = None
    left_by: str | None = None
    """The error that ended the driver; None: no error did."""

    @classmethod
    def of(cls, state: ExperimentState) -> "Standing":
        """Return the standing of `state`."""
        budget_s = state.rules.time_budget_s
        return cls(state.target, state.ended, state.stopped, state.elapsed_s, budget_s)


@dataclass(frozen=True)
class Glance:
    """The data of one update of the artifacts, and what is derived from it."""

    name: str
    url: str
    objective: Objective
    axes: tuple[Axis, ...]
    standing: Standing
    trials: Mapping[str, Trial]
    """By id, in order of creation."""
    recorder: Recorder
    """Results so far."""

    @cached_property
    def without_curves(self) -> PlotData:
        """The data of the plots, without the learning curves."""
        return PlotData(
            name=self.name,
            objective=self.objective,
            axes=self.axes,
            tried=trial_points_of(self.trials.values(), self.objective),
            improvements=self.recorder.improvements(),
            results=sum(trial.iteration for trial in self.trials.values()),
        )

    def plot_data(self) -> PlotData:
        """Return the data of the plots."""
        return replace(self.without_curves, curves=self.recorder.curves(self.trials))

    @cached_property
    def ranked(self) -> list[Trial]:
        """The trials with a value of the metric, the best first."""
        return [self.trials[tried.trial_id] for tried in self.without_curves.ranked()]

    @cached_property
    def counts(self) -> dict[TrialStatus, int]:
        """Number of trials by status; every status is a key."""
        counts = dict.fromkeys(TrialStatus, 0)
        for trial in self.trials.values():
            counts[trial.status] += 1
        return counts

    @property
    def done(self) -> int:
        """Number of trials that have ended."""
        return sum(count for status, count in self.counts.items() if status.is_final)

    def percentage(self) -> float:
        """Return how much is done: the larger of the shares of trials and of the time budget, in percent."""
        now = self.standing
        if now.ended is not None:
            return 100.0
        trials = self.done / now.target if now.target else 0.0
        time = now.elapsed_s / now.time_budget_s if now.time_budget_s else 0.0
        return round(100 * min(1.0, max(trials, time)), 1)

    @property
    def state(self) -> str:
        """Whether the experiment runs, has ended, was stopped, or lost its driver to an error, and why."""
        now = self.standing
        if now.ended is not None:
            return f"ended ({now.ended})"
        if now.stopped is not None:
            return f"stopped ({now.stopped}), to be carried on"
        return f"not ended ({now.left_by})" if now.left_by is not None else "running"

    @property
    def progress(self) -> str:
        """Number of trials that are done, and of all trials by status."""
        now = self.standing
        by_status = ", ".join(f"{count:,} {status.lower()}" for status, count in self.counts.items() if count)
        total = "unlimited" if now.target is None else f"{now.target:,}"
        return f"{self.done:,} of {total} trials done ({by_status or 'none yet'})"

    @property
    def elapsed(self) -> str:
        """Time at work, such as 1:02:03."""
        minutes, seconds = divmod(int(self.standing.elapsed_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"

    def status(self) -> str:
        """Return one line about the whole experiment; lists show only its beginning."""
        iterations = self.without_curves.results
        return f"{self.progress}, {iterations:,} iterations, {self.elapsed}; {line(self.state, 200)}"
