"""Type of the field with the values that population based training may change: domains by path."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from tune_flows.core.schema import FormUnion, InvalidValue
from tune_flows.core.space import (
    Choice,
    LogRandInt,
    LogUniform,
    QLogRandInt,
    QLogUniform,
    QRandInt,
    QRandn,
    QUniform,
    RandInt,
    Randn,
    Uniform,
)

__all__ = ["Mutation", "Mutations"]

Mutation = Annotated[
    Uniform
    | QUniform
    | LogUniform
    | QLogUniform
    | Randn
    | QRandn
    | RandInt
    | QRandInt
    | LogRandInt
    | QLogRandInt
    | Choice,
    Field(discriminator="type"),
    FormUnion(),
]
"""A domain: an entry of a search space that is neither a grid nor a function."""


def _by_path(value: object) -> object:
    """Return the domains by path: nested dicts flattened, lists as choices, None as `{}`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, object] = {}
    for key, node in cast("Mapping[str, object]", value).items():
        if callable(node):
            raise InvalidValue(
                node, "a domain, its JSON form or a list", "A function has no JSON form.", f"[{key!r}]"
            )
        if isinstance(node, list | tuple):
            flat[key] = {"type": "choice", "categories": node}
        elif isinstance(node, Mapping) and not isinstance(cast("Mapping[str, Any]", node).get("type"), str):
            inner = cast("dict[str, object]", _by_path(cast("object", node)))
            flat |= {f"{key}/{path}": domain for path, domain in inner.items()}
        else:
            flat[key] = node
    return flat


Mutations = Annotated[dict[str, Mutation], BeforeValidator(_by_path)]
"""Domains by path (`model/lr`); nested dicts and lists of values are accepted too."""
