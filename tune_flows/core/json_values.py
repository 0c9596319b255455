"""Lossless JSON values, for the journal, states, configurations and results.

JSON has no NaN and no infinities, and Python's default output for them is not JSON. They are encoded as
`{"$float": "nan"}`, `{"$float": "inf"}`, `{"$float": "-inf"}`; finite floats are preserved exactly. A dict
that looks like one of these is escaped with an additional `$` in its key.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

__all__ = ["NotJson", "from_json", "plain_json", "plain_scalar", "to_json"]

_FLOAT = "$float"


class NotJson(TypeError):
    """A value, or a part of it, is not a JSON value.

    Args:
        got: The invalid part.
        where: Its position in the value, such as `[2]['key']`.
        expected: Description of a valid value.
    """

    def __init__(self, got: object, where: str, expected: str = "a JSON value") -> None:
        super().__init__(got, where, expected)
        self.got, self.where, self.expected = got, where, expected

    def __str__(self) -> str:
        shown = repr(self.got) if isinstance(self.got, int | float | str) else type(self.got).__name__
        return f"{shown} is not {self.expected}"


def to_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return `value` with non-finite floats encoded for JSON; tuples become lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if isinstance(value, Mapping):
        items = {str(key): to_json(item) for key, item in cast("Mapping[Any, Any]", value).items()}
        return {f"${key}": item for key, item in items.items()} if _looks_coded(items) else items
    if isinstance(value, list | tuple):
        return [to_json(item) for item in cast("list[Any]", value)]
    return value


def from_json(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value that `to_json` encoded."""
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
    """Return a copy of `value` that consists only of dict, list, str, int, float, bool and None.

    Tuples become lists. Scalars of numpy, torch and similar libraries, and instances of subclasses of the
    basic types (such as enums), become the basic types.

    Args:
        value: Anything.
        where: Position of `value` in an enclosing value, for the error.
        strict: Whether to reject NaN, infinities and non-string keys; otherwise such keys become strings.

    Raises:
        NotJson: A part of `value` is not a JSON value.
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
    """Convert a scalar of numpy, torch or similar to a Python scalar; return any other value unchanged."""
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
