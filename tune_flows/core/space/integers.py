"""Domains of integers, uniform and log-uniform, each also available restricted to multiples of q."""

import math
from typing import Literal

from pydantic import Field

from tune_flows.core.space.domain import Interval, PositiveWhole, QInterval, Whole
from tune_flows.core.space.multiples import share

__all__ = ["LogRandInt", "QLogRandInt", "QRandInt", "RandInt"]


class RandInt(Interval, frozen=True):
    """An integer from `lower` to below `upper`, each equally likely."""

    type: Literal["randint"] = "randint"
    lower: Whole = Field(description="Smallest value.")
    upper: Whole = Field(description="Upper bound, excluded.")

    def _at(self, u: float) -> int:
        return self.lower + share(u, self.upper - self.lower)


class LogRandInt(Interval, frozen=True):
    """An integer k from `lower` to below `upper`, with the probability of [k, k + 1) in log space."""

    type: Literal["lograndint"] = "lograndint"
    lower: PositiveWhole = Field(description="Smallest value, 1 or more.")
    upper: PositiveWhole = Field(description="Upper bound, excluded.")

    def _at(self, u: float) -> int:
        return _log_share(self.lower, self.upper - 1, u)


class QRandInt(QInterval, frozen=True):
    """An integer multiple of `q` from `lower` to `upper`, each equally likely."""

    type: Literal["qrandint"] = "qrandint"
    lower: Whole = Field(description="Lower bound, included.")
    upper: Whole = Field(description="Upper bound, included, also when q is 1.")
    q: PositiveWhole = Field(default=1, description="Values are multiples of it.")

    def _at(self, u: float) -> int:
        grid = self._multiples
        return (grid.first + share(u, grid.count)) * self.q


class QLogRandInt(QInterval, frozen=True):
    """An integer multiple k * q from `lower` to `upper`, with the probability of [k, k + 1) in log space."""

    type: Literal["qlograndint"] = "qlograndint"
    lower: PositiveWhole = Field(description="Lower bound, included, 1 or more.")
    upper: PositiveWhole = Field(description="Upper bound, included, also when q is 1.")
    q: PositiveWhole = Field(description="Values are multiples of it.")

    def _at(self, u: float) -> int:
        grid = self._multiples
        return _log_share(grid.first, grid.last, u) * self.q


def _log_share(first: int, last: int, u: float) -> int:
    start = math.log(first)
    drawn = math.floor(math.exp(start + u * (math.log(last + 1) - start)))
    return min(max(drawn, first), last)
