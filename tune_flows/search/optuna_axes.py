"""Conversion of the domains of a space to Optuna's distributions.

Optuna only gets floats, integers and positions in a list: a multiple of q as its index, a category as its
position, a normally distributed value as its quantile. So every JSON value may be a category, and every
value that Optuna suggests converts to a value inside its domain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import JsonValue

from tune_flows.core.space import (
    Choice,
    Domain,
    LogRandInt,
    LogUniform,
    QLogRandInt,
    QLogUniform,
    QRandn,
    Randn,
    Uniform,
)
from tune_flows.core.space.steps import position, steps

__all__ = ["Axis", "axis"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One key of the space as a parameter of Optuna."""

    distribution: BaseDistribution
    to_value: Callable[[Any], JsonValue]
    """Converts Optuna's parameter to the value in the configuration."""
    to_param: Callable[[Any], int | float | None]
    """Converts the value in the configuration to Optuna's parameter."""


def axis(domain: Domain) -> Axis:
    """Return the domain as a parameter of Optuna."""
    match domain:
        case Choice():
            count = len(domain.categories)
            return Axis(
                CategoricalDistribution(range(count)),
                domain.categories.__getitem__,
                lambda value: position(domain, value),
            )
        case Randn() | QRandn():
            normal = NormalDist(domain.mean, domain.sd)
            return Axis(FloatDistribution(0.0, 1.0), domain.quantile, normal.cdf)
        case Uniform() | LogUniform():
            log = isinstance(domain, LogUniform)
            return Axis(FloatDistribution(domain.lower, domain.upper, log=log), float, float)
        case _:
            return _stepped(domain)


def _stepped(domain: Domain) -> Axis:
    grid = steps(domain)
    if grid is None:
        raise TypeError(f"{type(domain).__name__} has no counterpart in Optuna yet")
    log = isinstance(domain, LogRandInt | QLogRandInt | QLogUniform)
    return Axis(
        IntDistribution(grid.first, grid.last, log=log), grid.value, lambda value: round(value / grid.q)
    )
