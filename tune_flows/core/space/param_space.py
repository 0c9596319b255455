"""The search space of an experiment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from pydantic import GetCoreSchemaHandler, JsonValue
from pydantic_core import CoreSchema, core_schema

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.schema import InvalidValue, closest
from tune_flows.core.space.domain import Domain, SpaceEntry
from tune_flows.core.space.listed import Grid
from tune_flows.core.space.parse import parse_tree
from tune_flows.core.space.resolve import Layout, nested, resolve_config
from tune_flows.core.space.sample_from import SampleFrom
from tune_flows.core.space.values import json_key, json_value

__all__ = ["ParamSpace"]


@dataclass(frozen=True, slots=True, repr=False)
class ParamSpace:
    """A set of possible configurations: domains, grids, functions and constants in nested dicts.

    The keys of all mappings are sorted paths such as `model/lr`. The key order of the original dicts makes no
    difference: equal spaces give the same configurations for a seed. Create a space with `parse`.

    Attributes:
        domains: Entries that are sampled or chosen by a search algorithm.
        grids: Entries of which every value is tried.
        functions: Entries that are computed from the other values (`sample_from`).
        constants: All other values.
    """

    domains: Mapping[str, Domain]
    grids: Mapping[str, Grid]
    functions: Mapping[str, SampleFrom]
    constants: Mapping[str, JsonValue]
    _layout: Layout

    @classmethod
    def parse(cls, obj: "Mapping[str, Any] | ParamSpace") -> "ParamSpace":
        """Return the space that nested dicts describe; a `ParamSpace` is returned unchanged.

        Args:
            obj: For each name: a domain, a grid or a function, or the JSON form of one, such as
                `{"type": "uniform", "lower": 0, "upper": 1}` or `{"grid_search": [...]}`; a constant (any
                JSON value); or a dict of these.

        Raises:
            InvalidParameter: A part of `obj` is invalid; the message names its path. Final.
        """
        if isinstance(obj, ParamSpace):
            return obj
        layout, leaves = parse_tree(obj)
        entries = dict(sorted(leaves.entries.items()))
        return cls(
            domains={path: entry for path, entry in entries.items() if isinstance(entry, Domain)},
            grids={path: entry for path, entry in entries.items() if isinstance(entry, Grid)},
            functions={path: entry for path, entry in entries.items() if isinstance(entry, SampleFrom)},
            constants=dict(sorted(leaves.constants.items())),
            _layout=layout,
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Use `parse` and `to_json` where a space is a pydantic field or part of a policy's state."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda space: space.to_json()),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; `parse` converts it back to an equal space."""
        forms = {path: entry.to_json() for path, entry in self._entries.items()}
        return nested(
            self._layout, forms | {path: json_value(value) for path, value in self.constants.items()}
        )

    def loaded(self) -> "ParamSpace":
        """Return the same space with every function that was given by its path imported.

        Raises:
            InvalidParameter: A function cannot be imported.
        """
        functions = dict(self.functions)
        for path, function in functions.items():
            try:
                functions[path] = function.loaded()
            except InvalidValue as error:
                raise error.for_parameter(f"param_space[{path!r}]") from error
        return replace(self, functions=functions)

    def __repr__(self) -> str:
        return f"ParamSpace({nested(self._layout, {**self._entries, **self.constants})!r})"

    @property
    def grid_size(self) -> int:
        """Number of combinations of grid values; 1 without grids."""
        return math.prod(len(grid.values) for grid in self.grids.values())

    def grid_point(self, index: int) -> dict[str, JsonValue]:
        """Return the `index`-th combination of grid values, by path; the last path changes fastest."""
        if not 0 <= index < self.grid_size:
            raise InvalidParameter.of("grid_point(index=…)", index, f"0 to {self.grid_size - 1}")
        point: dict[str, JsonValue] = {}
        for path, grid in reversed(list(self.grids.items())):
            index, position = divmod(index, len(grid.values))
            point[path] = json_value(grid.values[position])
        return dict(reversed(list(point.items())))

    def sample(
        self, rng: np.random.Generator, grid_index: int = 0, fixed: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return a random configuration.

        Args:
            rng: Source of randomness. Every domain uses one draw, even if its value is in `fixed`, so that
                fixing one value does not change the others.
            grid_index: Index of the combination of grid values, see `grid_point`.
            fixed: Values to use instead of sampled ones, nested or by path; see `flatten`.

        Raises:
            InvalidParameter: `fixed` does not fit the space, or a `sample_from` function failed. Final.
        """
        values = {path: domain.sample(rng) for path, domain in self.domains.items()}
        values |= self.grid_point(grid_index)
        if fixed:
            values |= self.flatten(fixed)
        return self.resolve(values)

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the complete configuration; it shares no objects with the space or with `values`.

        Args:
            values: A value for each path of a domain or grid, which may be out of bounds. A value for the
                path of a function replaces the function.

        Raises:
            InvalidParameter: A path is missing or unknown, a value is not JSON, a function failed. Final.
        """
        complete = {path: json_value(value) for path, value in self.constants.items()}
        for path, value in values.items():
            if path not in self.domains and path not in self.grids and path not in self.functions:
                raise InvalidParameter.of(
                    "resolve(values=…)", path, "paths of the space", closest(path, self._paths)
                )
            try:
                complete[path] = json_value(value)
            except InvalidValue as error:
                raise error.for_parameter(f"config[{path!r}]") from error
        missing = [path for path in (*self.domains, *self.grids) if path not in complete]
        if missing:
            raise InvalidParameter.of("resolve(values=…)", sorted(values), f"also {', '.join(missing)}")
        return resolve_config(self._layout, complete, self.functions)

    def flatten(
        self, point: Mapping[str, Any], parameter: str = "points_to_evaluate"
    ) -> dict[str, JsonValue]:
        """Return the values of `point` by path, after checking them; constants of the space are omitted.

        Args:
            point: A configuration or a part of one, nested (`{"model": {"lr": 0.1}}`) or by path
                (`{"model/lr": 0.1}`).
            parameter: Name of `point` in error messages.

        Raises:
            InvalidParameter: A key is not in the space, or a value is not in its domain. Final.
        """
        if not isinstance(point, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - from outside
            raise InvalidParameter.of(parameter, point, "a dict of values of param_space")
        flat: dict[str, JsonValue] = {}
        self._flatten_into(flat, point, "", parameter)
        return flat

    def _flatten_into(
        self, flat: dict[str, JsonValue], point: Mapping[str, Any], prefix: str, parameter: str
    ) -> None:
        for key, value in point.items():
            path = f"{prefix}{key}"
            if path in self._paths:
                flat.update(self._checked(path, value, f"{parameter}[{path!r}]"))
            elif isinstance(value, Mapping) and any(known.startswith(f"{path}/") for known in self._paths):
                self._flatten_into(flat, cast("Mapping[str, Any]", value), f"{path}/", parameter)
            else:
                known = ", ".join(self._paths)
                raise InvalidParameter.of(
                    parameter, path, f"keys of param_space: {known}", closest(path, self._paths)
                )

    def _checked(self, path: str, value: object, name: str) -> dict[str, JsonValue]:
        try:
            plain = json_value(value)
        except InvalidValue as error:
            raise error.for_parameter(name) from error
        if path in self.constants:
            if json_key(plain) != json_key(self.constants[path]):
                raise InvalidParameter.of(
                    name, plain, f"{self.constants[path]!r}, the constant in param_space"
                )
            return {}
        entry = self.domains.get(path) or self.grids.get(path)
        if entry is not None and not entry.contains(plain):
            raise InvalidParameter.of(name, plain, f"a value of {entry!r}")
        return {path: plain}

    @property
    def _entries(self) -> dict[str, SpaceEntry]:
        return {**self.domains, **self.grids, **self.functions}

    @property
    def _paths(self) -> list[str]:
        return [*self._entries, *self.constants]
