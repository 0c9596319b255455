"""Positions of values on an axis, and the tick labels of the axis."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tune_flows.core.json_values import to_json
from tune_flows.plots.data import Axis

__all__ = ["Scale", "number", "scale_of", "steps", "value_limits"]

_LARGEST = 1e150
"""Numbers beyond it are clipped to it, so that differences and squares of drawn values stay finite."""
_MOST_CATEGORIES = 12
_FAR = 3.0


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis for a sequence of values."""

    positions: tuple[float, ...]
    """The position of each value; NaN: it is not drawn."""
    lower: float
    upper: float
    ticks: tuple[tuple[float, str], ...]
    """Positions and labels of the ticks."""
    discrete: bool = False
    """Whether the values are categories, at 0, 1, 2, ..."""

    def shares(self) -> list[float]:
        """Return the positions as fractions of the axis, in [0, 1]."""
        return [self.share(position) for position in self.positions]

    def share(self, position: float) -> float:
        """Return a position as a fraction of the axis; 0.5 if the axis has one value only."""
        return (position - self.lower) / (self.upper - self.lower) if self.upper > self.lower else 0.5


def scale_of(axis: Axis, values: Sequence[Any], most_ticks: int = 5) -> Scale:
    """Return the scale of a parameter for these values; None is a missing value."""
    present = [value for value in values if value is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
    listed = axis.categories is not None and len(axis.categories) <= _MOST_CATEGORIES
    if listed or not numeric:
        return _categories(axis.categories or (), values, numeric)
    numbers = [number(value) for value in values]
    finite = [value for value in numbers if math.isfinite(value)]
    if axis.log and finite and min(finite) > 0:
        logs = [math.log10(value) if value > 0 else math.nan for value in numbers]
        lower, upper = math.log10(min(finite)), math.log10(max(finite))
        return Scale(tuple(logs), lower, upper, tuple(_log_steps(lower, upper, most_ticks)))
    lower, upper = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return Scale(tuple(numbers), lower, upper, tuple(steps(lower, upper, most_ticks)))


def value_limits(values: Iterable[float], mode: str) -> tuple[float, float]:
    """Return the limits of a metric's axis: all values, or without outliers among the worst.

    One diverged trial with a loss of 1e9 must not squeeze all others into one line.
    """
    best_first = sorted((v for v in values if math.isfinite(v)), reverse=mode == "max")
    if not best_first:
        return 0.0, 1.0
    best, worst = best_first[0], best_first[-1]
    usual = best_first[int(0.85 * (len(best_first) - 1))] - best
    if usual and abs(worst - best) > _FAR * abs(usual):
        worst = best + 1.25 * usual
    room = 0.05 * abs(worst - best) or 0.05 * abs(best) or 0.5
    return min(best, worst) - room, max(best, worst) + room


def steps(lower: float, upper: float, most: int = 5) -> list[tuple[float, str]]:
    """Return about `most` round numbers at most, from `lower` to `upper`, with their labels."""
    if not upper > lower:
        return [(lower, f"{lower:.4g}")]
    step = _round_step((upper - lower) / most)
    first = math.ceil(lower / step - 1e-9)
    at = [i * step for i in range(first, first + most + 2) if i * step <= upper + 1e-9 * step]
    if not at or step < 1e-12 * max(abs(lower), abs(upper)):  # there is no round number between them
        at = [lower, upper]
    return [(min(max(value, lower), upper), _written(value, step)) for value in at]


def _written(value: float, step: float) -> str:
    if value == 0 or abs(value) < 1e-9 * step:
        return "0"
    digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 2
    return f"{value:.{min(max(digits, 1), 12)}g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step)) if step > 1e-300 else 1e-300
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def _log_steps(lower: float, upper: float, most: int) -> list[tuple[float, str]]:
    """Return ticks as `steps` does, for a logarithmic axis: positions are base-10 logarithms."""
    powers = range(math.floor(lower), math.ceil(upper) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        at = [power + math.log10(factor) for power in powers for factor in factors]
        at = [place for place in at if lower - 1e-9 <= place <= upper + 1e-9]
        if len(at) >= 3:
            break
    if len(at) < 2:
        at = [math.log10(value) for value, _ in steps(10**lower, 10**upper, most) if value > 0] or [lower]
    return [(place, _written_power(place)) for place in at[:: math.ceil(len(at) / most)]]


def _written_power(place: float) -> str:
    text = f"{10**place:g}" if -3 < place < 5 else f"{10**place:.2e}"
    return re.sub(r"\.?0*e([+-])0*", lambda found: "e-" if found[1] == "-" else "e", text)


def _categories(known: Sequence[Any], values: Sequence[Any], numeric: bool) -> Scale:
    names: dict[str, str] = {}
    for value in [*known, *values]:
        if value is not None or value in known:
            names.setdefault(_key(value), value if isinstance(value, str) else _key(value))
    keys = sorted(names, key=float) if numeric and all(map(_is_number, names)) else list(names)
    places = {key: float(place) for place, key in enumerate(keys)}
    at = [places.get(_key(value), math.nan) for value in values]
    every = math.ceil(len(keys) / _MOST_CATEGORIES) if keys else 1
    ticks = tuple((float(place), names[key]) for place, key in enumerate(keys) if place % every == 0)
    return Scale(tuple(at), 0.0, max(len(keys) - 1.0, 0.0), ticks, discrete=True)


def _key(value: object) -> str:
    return json.dumps(to_json(value), ensure_ascii=False, sort_keys=True, default=str)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def number(value: Any) -> float:  # noqa: ANN401 - any JSON value
    """Return the value as a number that can be drawn; NaN if it cannot."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return math.nan
    return float(min(max(value, -_LARGEST), _LARGEST)) if abs(value) != math.inf else math.nan
