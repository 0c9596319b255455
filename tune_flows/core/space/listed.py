"""Entries that list their values: `choice` samples one, `grid_search` tries each."""

from collections.abc import Hashable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, field_serializer

from tune_flows.core.space.domain import Domain, SpaceEntry
from tune_flows.core.space.multiples import share
from tune_flows.core.space.values import json_items, json_key, json_value

__all__ = ["Choice", "Grid"]

_Items = Annotated[tuple[JsonValue, ...], Field(min_length=1), BeforeValidator(json_items)]


class Choice(Domain, frozen=True):
    """One of the categories, each equally likely; a category listed twice is twice as likely."""

    type: Literal["choice"] = "choice"
    categories: _Items = Field(description="The values to choose from: any JSON values.")

    def contains(self, value: object) -> bool:
        """Return whether `value` is one of the categories."""
        return _listed(value, self.categories)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and json_key(self.categories) == json_key(other.categories)

    def __hash__(self) -> int:
        return _hash(self.type, self.categories)

    @field_serializer("categories")
    def _as_list(self, categories: tuple[JsonValue, ...]) -> list[JsonValue]:
        return list(categories)

    def _at(self, u: float) -> Any:  # noqa: ANN401 - any JSON value
        return json_value(self.categories[share(u, len(self.categories))])


class Grid(SpaceEntry, frozen=True):
    """Each of the values in turn; all combinations of grids are tried, `num_samples` times."""

    type: Literal["grid_search"] = "grid_search"
    values: _Items = Field(description="The values to try: any JSON values.")

    def contains(self, value: object) -> bool:
        """Return whether `value` is one of the values."""
        return _listed(value, self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and json_key(self.values) == json_key(other.values)

    def __hash__(self) -> int:
        return _hash(self.type, self.values)

    @field_serializer("values")
    def _as_list(self, values: tuple[JsonValue, ...]) -> list[JsonValue]:
        return list(values)


def _listed(value: object, values: tuple[JsonValue, ...]) -> bool:
    try:
        key: Hashable = json_key(value)
        hash(key)
    except TypeError:
        return False
    return any(json_key(item) == key for item in values)


def _hash(kind: str, values: tuple[JsonValue, ...]) -> int:
    return hash((kind, json_key(values)))
