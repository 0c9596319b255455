"""Integer indices for the values of a domain, for algorithms that move to neighbouring values."""

from pydantic import JsonValue

from tune_flows.core.space.continuous import QRandn
from tune_flows.core.space.domain import Domain, QInterval
from tune_flows.core.space.integers import LogRandInt, RandInt
from tune_flows.core.space.listed import Choice
from tune_flows.core.space.multiples import Multiples, multiples
from tune_flows.core.space.values import json_key

__all__ = ["position", "steps"]


def steps(domain: Domain) -> Multiples | None:
    """Return the values of a domain of integers or of multiples of q (`index * q`); None for any other."""
    match domain:
        case RandInt() | LogRandInt():
            return multiples(1, domain.lower, domain.upper - 1)
        case QInterval():
            return multiples(domain.q, domain.lower, domain.upper)
        case QRandn():
            return multiples(domain.q)
        case _:
            return None


def position(choice: Choice, value: JsonValue) -> int | None:
    """Return the first index of `value` among the categories; None if it is not one of them."""
    keys = [json_key(category) for category in choice.categories]
    key = json_key(value)
    return keys.index(key) if key in keys else None
