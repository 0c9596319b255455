"""The plain data that plots are drawn from, collected from a running experiment or from a view of one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tune_flows.core.objective import Objective
from tune_flows.core.space import Choice, Grid, ParamSpace
from tune_flows.core.space.domain import SpaceEntry
from tune_flows.core.trial import Trial

__all__ = [
    "Axis",
    "Curve",
    "Improvement",
    "PlotData",
    "TrialPoint",
    "axes_of",
    "flat_config",
    "trial_points_of",
]


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter in which trials may differ."""

    path: str
    """Path of the parameter, such as `model/lr`."""
    log: bool = False
    """Whether it is sampled on a logarithmic scale."""
    categories: tuple[Any, ...] | None = None
    """The possible values, as JSON values; None: a number."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A trial's metric by iteration: two sequences of equal length, iterations ascending."""

    trial_id: str
    iterations: Sequence[int]
    values: Sequence[float]
    """May hold NaN and infinities."""


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """A trial's configuration and its newest value of the metric."""

    trial_id: str
    config: Mapping[str, Any]
    """Values by path."""
    value: float
    """The newest value of the metric; NaN: no comparable value."""
    at: float = math.nan
    """Unix time (s) of this value; NaN: unknown."""
    began: float = math.nan
    """Unix time (s) at which the training began; NaN: unknown."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """A result that is better than all earlier ones."""

    trial_id: str
    at: float
    """Unix time in seconds; NaN: unknown."""
    count: int
    """Number of results up to and including this one."""
    value: float


@dataclass(frozen=True, slots=True)
class PlotData:
    """The data of an experiment that the plots show."""

    name: str
    objective: Objective
    axes: tuple[Axis, ...] = ()
    """The parameters without constants, sorted by path."""
    tried: tuple[TrialPoint, ...] = ()
    curves: tuple[Curve, ...] = ()
    improvements: tuple[Improvement, ...] = ()
    """Improvements in the order of reporting."""
    results: int = 0
    """Total number of results."""

    @property
    def best(self) -> TrialPoint | None:
        """The trial whose newest value is best, the first on a tie; None: no value is comparable."""
        return min(self.ranked(), key=self._rank, default=None)

    def ranked(self) -> list[TrialPoint]:
        """Return the trials with a finite value, the best first."""
        return sorted((tried for tried in self.tried if math.isfinite(tried.value)), key=self._rank)

    def _rank(self, tried: TrialPoint) -> float:
        return -tried.value if self.objective.mode == "max" else tried.value


def axes_of(space: ParamSpace) -> tuple[Axis, ...]:
    """Return the parameters of a space in which trials may differ."""
    entries: dict[str, SpaceEntry] = {**space.domains, **space.grids, **space.functions}
    return tuple(_axis(path, entry) for path, entry in sorted(entries.items()))


def flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a nested configuration by path; an empty dict counts as a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            below = flat_config(cast("dict[str, Any]", value))
            flat.update((f"{key}/{path}", item) for path, item in below.items())
        else:
            flat[key] = value
    return flat


def trial_points_of(trials: Iterable[Trial], objective: Objective) -> tuple[TrialPoint, ...]:
    """Return the trials' configurations and their newest values."""
    found: list[TrialPoint] = []
    for trial in trials:
        last = trial.last_result
        value = objective.value(objective.score(last))
        at, began = (last.timestamp, last.timestamp - last.time_total_s) if last else (math.nan, math.nan)
        found.append(TrialPoint(trial.trial_id, flat_config(trial.config), value, at, began))
    return tuple(found)


def _axis(path: str, entry: SpaceEntry) -> Axis:
    match entry:
        case Choice(categories=values) | Grid(values=values):
            return Axis(path, categories=values)
        case _:
            return Axis(path, log="log" in entry.type)
