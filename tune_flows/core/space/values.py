"""The values that a configuration may contain: copies of JSON values, in built-in Python types."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, cast

import numpy as np
from pydantic import JsonValue

from tune_flows.core.json_values import NotJson, plain_json, plain_scalar
from tune_flows.core.schema import InvalidValue

__all__ = ["json_items", "json_key", "json_value"]


def json_value(value: object, where: str = "") -> JsonValue:
    """Return a copy of `value` made by `plain_json` in strict mode.

    Args:
        value: Anything.
        where: Position of `value` inside the parameter, for the error.

    Raises:
        InvalidValue: `value` or a part of it is not a JSON value.
    """
    try:
        return plain_json(value, where=where, strict=True)
    except NotJson as error:
        hint = "" if "keys" in error.expected else _hint(error.got)
        raise InvalidValue(_shown(error.got), error.expected, hint, error.where) from error


def json_items(values: object) -> list[JsonValue]:
    """Return the items of any ordered collection as a list of JSON values.

    Raises:
        InvalidValue: `values` is empty or not an ordered collection, or an item is not a JSON value.
    """
    if isinstance(values, np.ndarray):
        values = cast("object", values.tolist())
    unordered = isinstance(values, str | bytes | Mapping | set | frozenset)
    if unordered or not isinstance(values, Iterable):
        raise InvalidValue(_shown(cast("object", values)), "a list of values")
    items = [json_value(item, f"[{index}]") for index, item in enumerate(cast("Iterable[object]", values))]
    if not items:
        raise InvalidValue(items, "at least one value")
    return items


def json_key(value: Any) -> Hashable:  # noqa: ANN401 - any JSON value
    """Return a hashable key; two JSON values are the same if and only if their keys are equal.

    1 and 1.0 are the same (JSON written by a browser does not distinguish them), 1 and true are not.
    """
    value = plain_scalar(value)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list | tuple):
        return ("list", *map(json_key, cast("list[Any]", value)))
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return ("dict", frozenset((key, json_key(item)) for key, item in items))
    return cast("Hashable", value)


def _shown(value: object) -> object:
    """Return `value` for an error message, or its type if its text has several lines, as for a table."""
    return type(value) if "\n" in repr(value) else value


def _hint(value: object) -> str:
    if isinstance(value, float):
        return "JSON has neither NaN nor infinity."
    module = type(value).__module__
    if module.startswith("ray.tune"):
        return "This is Ray Tune's; tune_flows has a function of the same name."
    if module.startswith(f"{__package__}."):
        return "A domain must be the value of a dict key of its own: not in a list, not in another domain."
    if isinstance(value, np.ndarray):
        return (
            "Pass a small array as array.tolist(), a large one with with_parameters(trainable, name=array)."
        )
    return "Pass an object with with_parameters(trainable, name=object)."
