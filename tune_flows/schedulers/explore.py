"""How population based training changes values; `explore` in Jaderberg et al. 2017, arXiv:1711.09846."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from pydantic import JsonValue

from tune_flows.core.space import Choice, Domain
from tune_flows.core.space.domain import Interval
from tune_flows.core.space.steps import position, steps

__all__ = ["explored"]


def explored(
    config: Mapping[str, Any],
    *,
    domains: Mapping[str, Domain],
    rng: np.random.Generator,
    resample_probability: float,
    factors: Sequence[float],
) -> dict[str, Any]:
    """Return a copy of the configuration with every value that has a domain changed, within its domain.

    Args:
        config: The configuration to start from; not modified.
        domains: By path, such as `model/lr`. Paths that `config` does not have are ignored.
        rng: Source of randomness.
        resample_probability: Share of the values that are drawn anew.
        factors: Each other value is multiplied by one of these; a category moves to a neighbour instead.
    """
    return _explored(config, "", domains, rng, resample_probability, factors)


def _explored(
    node: Mapping[str, Any],
    prefix: str,
    domains: Mapping[str, Domain],
    rng: np.random.Generator,
    resample_probability: float,
    factors: Sequence[float],
) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in node.items():
        domain = domains.get(prefix + key)
        if domain is not None:
            resample = rng.random() < resample_probability
            changed[key] = domain.sample(rng) if resample else _perturbed(value, domain, rng, factors)
        elif isinstance(value, Mapping):
            inner = cast("Mapping[str, Any]", value)
            changed[key] = _explored(inner, f"{prefix}{key}/", domains, rng, resample_probability, factors)
        else:
            changed[key] = value
    return changed


def _perturbed(
    value: JsonValue, domain: Domain, rng: np.random.Generator, factors: Sequence[float]
) -> JsonValue:
    if isinstance(domain, Choice):
        return _neighbour(value, domain, rng)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return domain.sample(rng)
    return _scaled(value, float(rng.choice(factors)), domain)


def _neighbour(value: JsonValue, domain: Choice, rng: np.random.Generator) -> JsonValue:
    """Return the category before or after `value`; the first or last one may stay."""
    at = position(domain, value)
    if at is None:
        return domain.sample(rng)
    moved = at + int(rng.choice((-1, 1)))
    return domain.categories[min(max(moved, 0), len(domain.categories) - 1)]


def _scaled(value: float, factor: float, domain: Domain) -> float:
    scaled = value * factor
    grid = steps(domain)
    if grid is not None:
        here, there = round(value / grid.q), round(scaled / grid.q)
        if here == there and scaled != value:  # else a small number would always be rounded back
            there += 1 if scaled > value else -1
        return grid.value(there)
    if isinstance(domain, Interval):
        return min(max(scaled, domain.lower), domain.upper)
    return scaled
