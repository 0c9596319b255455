"""Domains of floats: uniform, log-uniform and normal, each also available rounded to multiples of q.

A multiple of q has the probability of its cell, which extends by q / 2 to either side, even at the bounds. So
`quniform(0, 1, 0.5)` returns 0, 0.5 and 1 equally often; Ray Tune returns 0 and 1 half as often as 0.5.
"""

import math
from statistics import NormalDist
from typing import Literal, Self

from pydantic import Field, model_validator

from tune_flows.core.schema import InvalidValue
from tune_flows.core.space.domain import Domain, Interval, PositiveReal, QInterval, Real, as_number
from tune_flows.core.space.multiples import LARGEST_INDEX, multiples, share

__all__ = ["LogUniform", "QLogUniform", "QRandn", "QUniform", "Randn", "Uniform"]

_SMALLEST_U = 2.0**-54  # below every draw except 0: keeps the tails of a normal distribution finite


class Uniform(Interval, frozen=True):
    """A float, uniformly distributed from `lower` to below `upper`."""

    type: Literal["uniform"] = "uniform"
    lower: Real = Field(description="Smallest value.")
    upper: Real = Field(description="Upper bound, excluded.")

    def _at(self, u: float) -> float:
        return _below(self.lower + u * (self.upper - self.lower), self.lower, self.upper)


class LogUniform(Interval, frozen=True):
    """A float whose logarithm is uniformly distributed from `lower` to below `upper`."""

    type: Literal["loguniform"] = "loguniform"
    lower: PositiveReal = Field(description="Smallest value, above 0.")
    upper: PositiveReal = Field(description="Upper bound, excluded.")

    def _at(self, u: float) -> float:
        return _below(_log_between(self.lower, self.upper, u), self.lower, self.upper)


class Randn(Domain, frozen=True):
    """A float, normally distributed."""

    type: Literal["randn"] = "randn"
    mean: Real = Field(default=0.0, description="Mean of the distribution.")
    sd: PositiveReal = Field(default=1.0, description="Standard deviation, above 0.")

    def contains(self, value: object) -> bool:
        """Return whether `value` is a finite number."""
        return not math.isnan(as_number(value))

    def _at(self, u: float) -> float:
        return _normal(self.mean, self.sd, u)


class QUniform(QInterval, frozen=True):
    """A multiple of `q` from `lower` to `upper`, each equally likely."""

    type: Literal["quniform"] = "quniform"
    lower: Real = Field(description="Lower bound, included.")
    upper: Real = Field(description="Upper bound, included.")
    q: PositiveReal = Field(description="Values are multiples of it.")

    def _at(self, u: float) -> float:
        grid = self._multiples
        return grid.value(grid.first + share(u, grid.count))


class QLogUniform(QInterval, frozen=True):
    """A multiple of `q` from `lower` to `upper`, log-uniformly distributed."""

    type: Literal["qloguniform"] = "qloguniform"
    lower: PositiveReal = Field(description="Lower bound, included, above 0.")
    upper: PositiveReal = Field(description="Upper bound, included.")
    q: PositiveReal = Field(description="Values are multiples of it.")

    def _at(self, u: float) -> float:
        grid = self._multiples
        return grid.value(round(_log_between(grid.first - 0.5, grid.last + 0.5, u)))


class QRandn(Domain, frozen=True):
    """A multiple of `q`, normally distributed."""

    type: Literal["qrandn"] = "qrandn"
    mean: Real = Field(description="Mean of the distribution.")
    sd: PositiveReal = Field(description="Standard deviation, above 0.")
    q: PositiveReal = Field(description="Values are multiples of it.")

    @model_validator(mode="after")
    def _coarse_enough(self) -> Self:
        smallest = (abs(self.mean) + 9 * self.sd) / LARGEST_INDEX
        if self.q < smallest:
            raise InvalidValue(self, f"a q of at least {smallest:.2g} for this distribution")
        return self

    def contains(self, value: object) -> bool:
        """Return whether `value` is a multiple of `q`."""
        return multiples(self.q).holds(as_number(value))

    def _at(self, u: float) -> float:
        return multiples(self.q).value(round(_normal(self.mean, self.sd, u) / self.q))


def _below(value: float, lower: float, upper: float) -> float:
    """Return `value`, moved into [lower, upper) if a rounding error put it outside."""
    return max(value, lower) if value < upper else math.nextafter(upper, lower)


def _log_between(lower: float, upper: float, u: float) -> float:
    start = math.log(lower)
    return math.exp(start + u * (math.log(upper) - start))


def _normal(mean: float, sd: float, u: float) -> float:
    return NormalDist(mean, sd).inv_cdf(min(max(u, _SMALLEST_U), 1 - _SMALLEST_U * 2))
