"""What the pictures are drawn from: plain data, gathered from a running experiment or from a view of one."""

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
    """A parameter that the trials differ in."""

    path: str
    """Such as `model/lr`."""
    log: bool = False
    """Whether its values spread over orders of magnitude."""
    categories: tuple[Any, ...] | None = None
    """The values to choose from, JSON; None: a number."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How a trial's metric went: two sequences of one length, iterations ascending."""

    trial_id: str
    iterations: Sequence[int]
    values: Sequence[float]
    """May hold NaN and infinities."""


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """A configuration and what came of it."""

    trial_id: str
    config: Mapping[str, Any]
    """Values by path."""
    value: float
    """The newest value of the metric; NaN: none that can be compared."""
    at: float = math.nan
    """Unix time (s) of this value; NaN: not known."""
    began: float = math.nan
    """Unix time (s) at which the training began; NaN: not known."""


@dataclass(frozen=True, slots=True)
class Improvement:
    """A result that was better than all before it."""

    trial_id: str
    at: float
    """Unix time in seconds; NaN: not known."""
    count: int
    """Results up to this one, it included."""
    value: float


@dataclass(frozen=True, slots=True)
class PlotData:
    """An experiment as the pictures show it."""

    name: str
    objective: Objective
    axes: tuple[Axis, ...] = ()
    """The parameters, in order of the space; constants are none."""
    tried: tuple[TrialPoint, ...] = ()
    curves: tuple[Curve, ...] = ()
    improvements: tuple[Improvement, ...] = ()
    """In the order of reporting."""
    results: int = 0
    """Results in all."""

    @property
    def best(self) -> TrialPoint | None:
        """The one whose newest value is best, the first of equals; None: no value can be compared."""
        return min(self.ranked(), key=self._rank, default=None)

    def ranked(self) -> list[TrialPoint]:
        """Those with a finite value, the best first."""
        return sorted((tried for tried in self.tried if math.isfinite(tried.value)), key=self._rank)

    def _rank(self, tried: TrialPoint) -> float:
        return -tried.value if self.objective.mode == "max" else tried.value


def axes_of(space: ParamSpace) -> tuple[Axis, ...]:
    """The parameters of a space in which trials may differ."""
    entries: dict[str, SpaceEntry] = {**space.domains, **space.grids, **space.functions}
    return tuple(_axis(path, entry) for path, entry in sorted(entries.items()))


def flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a nested configuration by path; the empty dict is a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            below = flat_config(cast("dict[str, Any]", value))
            flat.update((f"{key}/{path}", item) for path, item in below.items())
        else:
            flat[key] = value
    return flat


def trial_points_of(trials: Iterable[Trial], objective: Objective) -> tuple[TrialPoint, ...]:
    """What the trials tried so far."""
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
