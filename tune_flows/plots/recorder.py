"""Collects the data for plots from the journal's records, one by one, in bounded memory.

Rules of this module:

- Each trial keeps a bounded number of points, evenly spread over its iterations, and its newest one.
- Results that are late, of an older lease or already known are ignored, as in `tune_flows.core.state`.
"""

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tune_flows.core.decisions import Record
from tune_flows.core.events import ResultsReported, TrialsReopened
from tune_flows.core.objective import Objective
from tune_flows.core.trial import Result, Trial
from tune_flows.plots.data import Curve, Improvement

__all__ = ["Recorder"]

_MOST_POINTS = 100
"""Most points kept per trial: about 20 MB with ten thousand trials."""
_MOST_IMPROVEMENTS = 500


@dataclass(slots=True)
class _Line:
    """The thinned curve of one trial since its last start from scratch."""

    lease: int = 0
    restarts: bool = False
    """Whether the next lease starts from scratch."""
    iterations: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    stride: int = 1
    """One of every `stride` results is kept."""
    count: int = 0
    newest: int = 0
    """Newest iteration, kept or not."""
    value: float = math.nan
    """Value at the newest iteration."""
    best_score: float = -math.inf

    def add(self, iteration: int, value: float) -> None:
        if self.count % self.stride == 0:
            self.iterations.append(iteration)
            self.values.append(value)
            if len(self.iterations) > _MOST_POINTS:
                self.iterations, self.values = self.iterations[::2], self.values[::2]
                self.stride *= 2
        self.count += 1
        self.newest, self.value = iteration, value

    def points(self, up_to: float = math.inf) -> tuple["array[int]", "array[float]"]:
        """Return the kept points and the newest one, up to iteration `up_to`."""
        iterations, values = self.iterations[:], self.values[:]
        if self.count and iterations[-1] != self.newest:
            iterations.append(self.newest)
            values.append(self.value)
        end = bisect_right(iterations, up_to)
        return iterations[:end], values[:end]


class Recorder:
    """Collects curves and improvements.

    Args:
        objective: Metric and mode by which results are compared; without a metric, results are only counted.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._lines: dict[str, _Line] = {}
        self._improvements: list[Improvement] = []
        self._best = -math.inf
        self.results = 0
        """Number of results so far."""

    def add(self, records: Iterable[Record]) -> None:
        """Add the records of one step of the driver."""
        for record in records:
            if isinstance(record, ResultsReported):
                self.add_results(record.trial_id, record.results, lease=record.lease)
            elif isinstance(record, TrialsReopened) and record.restart:
                self._restart(record.trial_ids)

    def add_results(self, trial_id: str, results: Iterable[Result], *, lease: int = 0) -> None:
        """Add results of a trial, in order of iteration."""
        line = self._lines.get(trial_id)
        if line is None:
            line = self._lines[trial_id] = _Line(lease)
        if lease < line.lease:
            return
        if lease > line.lease:
            if line.restarts:
                line = self._lines[trial_id] = _Line()
            line.lease = lease
        for result in results:
            if result.iteration > line.newest:
                self.results += 1
                score = self._objective.score(result)
                line.add(result.iteration, self._objective.value(score))
                if score > line.best_score:
                    line.best_score = score
                    if score > self._best:
                        self._improve(trial_id, result, score)

    def best_value(self, trial_id: str) -> float | None:
        """Return the best value that the trial has reported; None if it has no comparable value."""
        line = self._lines.get(trial_id)
        score = line.best_score if line is not None else -math.inf
        return self._objective.value(score) if score > -math.inf else None

    def preceded_by(self, earlier: "Recorder") -> "Recorder":
        """Return a recorder of both; the results of `earlier` are older ones and may overlap with these."""
        whole = Recorder(self._objective)
        whole.results = max(self.results, earlier.results)
        for trial_id in dict.fromkeys([*earlier._lines, *self._lines]):
            mine, before = self._lines.get(trial_id), earlier._lines.get(trial_id)
            whole._lines[trial_id] = _joined(before, mine) if before and mine else before or mine or _Line()
        score = -math.inf
        for improvement in sorted([*earlier._improvements, *self._improvements], key=lambda i: i.at):
            if (now := self._score(improvement)) > score:
                whole._improvements.append(improvement)
                score = now
        return whole

    def curves(self, trials: Mapping[str, Trial] | None = None) -> tuple[Curve, ...]:
        """Return a curve for each trial with results.

        Args:
            trials: The current trials, by id: points beyond a trial's current iteration are omitted.
        """
        found: list[Curve] = []
        for trial_id, line in self._lines.items():
            trial = trials.get(trial_id) if trials is not None else None
            iterations, values = line.points(trial.iteration if trial is not None else math.inf)
            if iterations:
                found.append(Curve(trial_id, iterations, values))
        return tuple(found)

    def improvements(self) -> tuple[Improvement, ...]:
        """Return the results that are better than all earlier ones, in the order of reporting."""
        return tuple(self._improvements)

    def _improve(self, trial_id: str, result: Result, score: float) -> None:
        self._best = score
        at = max([result.timestamp, *(i.at for i in self._improvements[-1:])])  # workers' clocks differ
        value = self._objective.value(score)
        self._improvements.append(Improvement(trial_id, at, self.results, value))
        if len(self._improvements) > _MOST_IMPROVEMENTS:
            self._improvements[:-1] = self._improvements[:-1:2]

    def _restart(self, trial_ids: Iterable[str]) -> None:
        gone = set(trial_ids)
        for trial_id in gone:
            if line := self._lines.get(trial_id):
                line.restarts = True
        self._improvements = [i for i in self._improvements if i.trial_id not in gone]
        self._best = max(map(self._score, self._improvements), default=-math.inf)

    def _score(self, improvement: Improvement) -> float:
        return improvement.value if self._objective.mode == "max" else -improvement.value


def _joined(before: _Line, after: _Line) -> _Line:
    """Return one curve of two: `after` holds the newer results and may overlap with `before`."""
    first = after.iterations[0] if after.count else math.inf
    if first == 1:
        return after  # the trial was restarted from scratch
    whole = _Line(after.lease, best_score=max(before.best_score, after.best_score))
    for iterations, values in (before.points(first - 1), after.points()):
        for iteration, value in zip(iterations, values, strict=True):
            whole.add(iteration, value)
    return whole
