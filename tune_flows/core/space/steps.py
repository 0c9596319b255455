"""Whole numbers as addresses of the values of a domain, for those who move from a value to its neighbour."""

from pydantic import JsonValue

from tune_flows.core.space.continuous import QRandn
from tune_flows.core.space.domain import Domain, QInterval
from tune_flows.core.space.integers import LogRandInt, RandInt
from tune_flows.core.space.listed import Choice
from tune_flows.core.space.multiples import Multiples, multiples
from tune_flows.core.space.values import json_key

__all__ = ["position", "steps"]


def steps(domain: Domain) -> Multiples | None:
    """The values of a domain of whole numbers or of multiples of q (`index * q`), None for any other."""
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
    """Where `value` first stands among the categories, None when it is none of them."""
    keys = [json_key(category) for category in choice.categories]
    key = json_key(value)
    return keys.index(key) if key in keys else None
