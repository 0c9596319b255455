"""Computation of a configuration: a `sample_from` function is called when its value is first read."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pydantic import JsonValue

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.schema import InvalidValue
from tune_flows.core.space.sample_from import SampleFrom
from tune_flows.core.space.values import json_value

__all__ = ["ConfigView", "Layout", "nested", "resolve_config"]

Layout = dict[str, "str | Layout"]
"""The nesting of a configuration; its leaves are paths such as `model/lr`."""


def resolve_config(
    layout: Layout, values: dict[str, JsonValue], functions: Mapping[str, SampleFrom]
) -> dict[str, JsonValue]:
    """Return the configuration with this layout, as a new dict.

    Args:
        layout: Nesting of the configuration.
        values: A value for every path not in `functions`; a value for a path in it replaces the function.
        functions: The `sample_from` functions, by path.

    Raises:
        InvalidParameter: A function raised, returned a value that is not JSON, or depends on its own result.
    """
    if functions:
        resolution = _Resolution(layout, values, functions)
        for path in functions:
            resolution.value(path)
        values = resolution.values
    return nested(layout, values)


def nested(layout: Layout, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by path as nested dicts."""
    return {
        key: values[node] if isinstance(node, str) else nested(node, values) for key, node in layout.items()
    }


class _Resolution:
    """Values by path; missing values are computed when they are read."""

    def __init__(
        self, layout: Layout, values: dict[str, JsonValue], functions: Mapping[str, SampleFrom]
    ) -> None:
        self.values = dict(values)
        self._functions = functions
        self._running: list[str] = []
        self._failure: InvalidParameter | None = None
        self._view = ConfigView(layout, self._open, shows=self._shows, is_root=True)

    def value(self, path: str) -> JsonValue:
        """Return the value at `path`, after computing it if necessary."""
        if path not in self.values:
            if path in self._running:
                circle = " -> ".join([*self._running[self._running.index(path) :], path])
                self._failure = InvalidParameter(
                    f"param_space: got sample_from functions that wait for each other, {circle}, expected at "
                    "least one of them that does not read the others. Make one a domain or a constant."
                )
                raise self._failure
            self._running.append(path)
            try:
                self.values[path] = self._computed(path)
            finally:
                self._running.pop()
        return self.values[path]

    def _computed(self, path: str) -> JsonValue:
        function = self._functions[path]
        parameter = f"param_space[{path!r}]"
        try:
            return json_value(function(self._view))
        except InvalidValue as error:
            raise error.for_parameter(f"{parameter}: result of {function}") from error
        except Exception as error:
            if error is self._failure:  # already names the path that caused it
                raise
            self._failure = InvalidParameter.of(
                parameter,
                error,
                f"a value from {function}",
                f"The configuration has {', '.join([*self.values, *self._functions])}.",
            )
            raise self._failure from error

    def _open(self, node: object) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(node, str):
            return _read_only(self.value(node))
        return ConfigView(cast("Layout", node), self._open, shows=self._shows)

    def _shows(self, node: object) -> bool:
        return node not in self._running


class ConfigView(Mapping[str, Any]):
    """A read-only configuration, as a `sample_from` function sees it.

    Iteration omits keys that are being computed; reading one of them raises an error, as it is a circular
    dependency. For functions in Ray Tune's older style, every key is also an attribute, and the outermost
    view has an attribute `config` that shows the same keys.
    """

    __slots__ = ("_children", "_is_root", "_open", "_shows")

    def __init__(
        self,
        children: Mapping[str, Any],
        open_child: Callable[[Any], Any],
        *,
        shows: Callable[[Any], bool] = lambda child: True,
        is_root: bool = False,
    ) -> None:
        self._children = children
        self._open = open_child
        self._shows = shows
        self._is_root = is_root

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        return self._open(self._children[key])

    def __contains__(self, key: object) -> bool:
        return key in self._children

    def __iter__(self) -> Iterator[str]:
        return (key for key, child in self._children.items() if self._shows(child))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        if name.startswith("_"):  # copying looks up such names before `_children` is set
            raise AttributeError(name)
        if name == "config" and self._is_root:
            return ConfigView(self._children, self._open, shows=self._shows)
        if name in self._children:
            return self[name]
        raise AttributeError(f"the configuration has no key {name!r}")

    def __repr__(self) -> str:
        return f"ConfigView({', '.join(self)})"


def _read_only(value: object) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return ConfigView(cast("dict[str, Any]", value), _read_only)
    return copy.deepcopy(value)
