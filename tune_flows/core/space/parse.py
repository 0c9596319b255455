"""Parsing of a user's search space into its entries by path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import JsonValue, ValidationError

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.schema import InvalidValue, closest, invalid_parameter
from tune_flows.core.space.domain import SpaceEntry
from tune_flows.core.space.kinds import KINDS
from tune_flows.core.space.listed import Grid
from tune_flows.core.space.resolve import Layout
from tune_flows.core.space.sample_from import SampleFrom
from tune_flows.core.space.values import json_value

__all__ = ["Leaves", "parse_tree"]


@dataclass(slots=True)
class Leaves:
    """The entries and constants of a search space, by path."""

    entries: dict[str, SpaceEntry] = field(default_factory=dict[str, SpaceEntry])
    constants: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


def parse_tree(space: Mapping[str, Any]) -> tuple[Layout, Leaves]:
    """Return the nesting of `space` and its leaves.

    Raises:
        InvalidParameter: A part of `space` is invalid; the message names its path.
    """
    if not isinstance(space, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - a parameter from outside
        raise InvalidParameter.of("param_space", space, "a dict of names and domains or constants")
    if not space:
        raise InvalidParameter.of("param_space", dict(space), "at least one key")
    kind = KINDS.get(str(space.get("type")))
    if kind is not None and len(space) > 1 and set(space) <= set(kind.model_fields):
        raise InvalidParameter.of("param_space", dict(space), "a dict of names and domains, not one domain")
    leaves = Leaves()
    try:
        return _layout(space, "", leaves), leaves
    except RecursionError as error:
        raise InvalidParameter("param_space: got a value that contains itself, expected JSON.") from error


def _layout(node: Mapping[Any, Any], path: str, leaves: Leaves) -> Layout:
    layout: Layout = {}
    for key, value in node.items():
        if not isinstance(key, str) or not key or "/" in key:
            where = _name(path) if path else "param_space"
            raise InvalidParameter.of(where, key, "keys that are strings, not empty and without '/'")
        child = f"{path}/{key}" if path else key
        entry = _entry(value, child)
        if entry is not None:
            leaves.entries[child] = entry
        elif isinstance(value, Mapping) and value:
            layout[key] = _layout(cast("Mapping[Any, Any]", value), child, leaves)
            continue
        else:
            leaves.constants[child] = _constant(cast("object", value), child)
        layout[key] = child
    return layout


def _constant(value: object, path: str) -> JsonValue:
    _refuse_domains(value, path)
    try:
        return json_value(value)
    except InvalidValue as error:
        raise error.for_parameter(_name(path)) from error


def _refuse_domains(value: object, path: str) -> None:
    """Reject domains in lists, including JSON forms: they would silently be treated as constants."""
    items: list[object] = []
    if isinstance(value, list | tuple):
        items = list(cast("list[object]", value))
    elif isinstance(value, Mapping):
        items = list(cast("Mapping[object, object]", value).values())
    for item in items:
        if _entry(item, path) is not None:
            hint = "Give each domain a dict key of its own."
            raise InvalidParameter.of(_name(path), item, "no domain inside a list", hint)
        _refuse_domains(item, path)


def _entry(value: object, path: str) -> SpaceEntry | None:
    """Return the entry that `value` is or encodes as JSON; None for a constant or a nested dict."""
    if isinstance(value, SpaceEntry):
        return _loadable(value, path)
    if not isinstance(value, Mapping):
        return None
    form = cast("Mapping[str, Any]", value)
    if list(form) == ["grid_search"]:
        return _built(Grid, {"values": form["grid_search"]}, path)
    name = form.get("type")
    if not isinstance(name, str):
        return None
    if name in KINDS:
        return _loadable(_built(KINDS[name], form, path), path)
    if _looks_like_domain(name, form):
        hint = closest(name, KINDS) or "To have such a dict as a constant, write choice([{...}])."
        raise InvalidParameter.of(f"{_name(path)}.type", name, f"one of {', '.join(KINDS)}", hint)
    return None


def _built(kind: type[SpaceEntry], fields: Mapping[str, Any], path: str) -> SpaceEntry:
    def name(field: str) -> str:
        return f"{_name(path)}.{field}" if field else _name(path)

    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        raise invalid_parameter(error, name, kind) from error


def _loadable(entry: SpaceEntry, path: str) -> SpaceEntry:
    if isinstance(entry, SampleFrom):
        try:
            entry.load()
        except InvalidValue as error:
            raise error.for_parameter(_name(path)) from error
    return entry


def _looks_like_domain(name: str, form: Mapping[str, Any]) -> bool:
    """Return whether a dict with an unknown `type` is probably a misspelled domain, not a nested dict."""
    fields = form.keys() - {"type"}
    if {"lower", "upper"} <= fields <= {"lower", "upper", "q", "base"} or fields == {"categories"}:
        return not any(isinstance(value, SpaceEntry | Mapping) for value in form.values())
    hint = closest(name, KINDS)
    return bool(hint and fields) and any(
        repr(known) in hint and fields <= kind.model_fields.keys() for known, kind in KINDS.items()
    )


def _name(path: str) -> str:
    return f"param_space[{path!r}]"
