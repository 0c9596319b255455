"""JSON values, exactly: what journal, states, configurations and results are made of.

JSON has no NaN and no infinities, and Python's default output for them is not JSON. They travel as
`{"$float": "nan"}`, `{"$float": "inf"}`, `{"$float": "-inf"}`; finite floats survive JSON bit by bit. A dict
that looks like one of these travels with one more `$`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

__all__ = ["NotJson", "from_json", "plain_json", "plain_scalar", "to_json"]

_FLOAT = "$float"


class NotJson(TypeError):
    """A value, or a part of it, that JSON does not have.

    Args:
        got: The part.
        where: Its place in the value, such as `[2]['key']`.
        expected: What would have been right.
    """

    def __init__(self, got: object, where: str, expected: str = "a JSON value") -> None:
        super().__init__(got, where, expected)
        self.got, self.where, self.expected = got, where, expected

    def __str__(self) -> str:
        shown = repr(self.got) if isinstance(self.got, int | float | str) else type(self.got).__name__
        return f"{shown} is not {self.expected}"


def to_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """`value` with non-finite floats in their JSON form; tuples become lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if isinstance(value, Mapping):
        items = {str(key): to_json(item) for key, item in cast("Mapping[Any, Any]", value).items()}
        return {f"${key}": item for key, item in items.items()} if _looks_coded(items) else items
    if isinstance(value, list | tuple):
        return [to_json(item) for item in cast("list[Any]", value)]
    return value


def from_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The inverse of `to_json`."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        if not _looks_coded(items):
            return {key: from_json(item) for key, item in items.items()}
        if _FLOAT in items:
            return float(items[_FLOAT])
        return {key[1:]: from_json(item) for key, item in items.items()}
    if isinstance(value, list):
        return [from_json(item) for item in cast("list[Any]", value)]
    return value


def plain_json(value: Any, *, where: str = "", strict: bool = False) -> Any:  # noqa: ANN401 - any value
    """A copy of `value` made of dict, list, str, int, float, bool and None alone.

    Tuples become lists; scalars of numpy, torch and the like, and subclasses of the basic types (enums),
    become the basic types.

    Args:
        value: Anything.
        where: Place of `value` in something larger, for the error.
        strict: Whether to refuse NaN, infinities and keys that are no strings; else such keys become strings.

    Raises:
        NotJson: A part of it is no JSON value.
    """
    value = plain_scalar(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if strict and not math.isfinite(value):
            raise NotJson(value, where, "a finite number")
        return float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)  # not str(value): an enum member would become its name
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return [plain_json(item, where=f"{where}[{i}]", strict=strict) for i, item in enumerate(items)]
    if isinstance(value, Mapping):
        return _plain_object(cast("Mapping[object, object]", value), where, strict=strict)
    raise NotJson(value, where)


def plain_scalar(value: object) -> object:
    """`value` as Python's own when it is a scalar of numpy, torch or the like, else as it is."""
    item: object = getattr(value, "item", None)
    is_one = getattr(value, "ndim", 0) == 0 and not isinstance(value, type | Mapping)
    if is_one and callable(item):
        return cast("Callable[[], object]", item)()
    return cast("object", value)


def _looks_coded(items: dict[str, Any]) -> bool:
    return len(items) == 1 and all(key[0:1] == "$" and key.lstrip("$") == "float" for key in items)


def _plain_object(value: Mapping[object, object], where: str, *, strict: bool) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, item in value.items():
        if strict and not isinstance(key, str):
            raise NotJson(key, where, "keys that are strings")
        name = str.__str__(key) if isinstance(key, str) else str(key)
        copy[name] = plain_json(item, where=f"{where}[{key!r}]", strict=strict)
    return copy
