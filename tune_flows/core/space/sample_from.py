"""Entries that a function computes from the rest of the configuration."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema

from tune_flows.core.imports import import_object, path_of
from tune_flows.core.schema import InvalidValue
from tune_flows.core.space.domain import SpaceEntry

__all__ = ["SampleFrom"]

Function = Callable[..., Any]

_NOT_IMPORTABLE = (
    "It is a lambda or a local function: use one at the top level of a module, which can be imported."
)


def _checked(function: Function | str) -> Function | str:
    if isinstance(function, str):
        module, colon, name = function.partition(":")
        if "<" in function:
            raise InvalidValue(function, "the import path of a function", _NOT_IMPORTABLE)
        if not (module and colon and name):
            raise InvalidValue(function, "an import path such as 'package.module:function'")
    elif not any(_takes(function, count) for count in (0, 1)):
        raise InvalidValue(function, "a function of one argument, the configuration, or of none")
    return function


def _path(function: Function | str) -> str:
    return function if isinstance(function, str) else path_of(function)


class SampleFrom(SpaceEntry, frozen=True):
    """The result of a function that receives the configuration chosen so far.

    The function reads the configuration as a mapping, `config["model"]["lr"]`, or in Ray Tune's older style,
    `spec.config.model.lr`. It may read other `sample_from` keys in any order, but not circularly.
    """

    type: Literal["sample_from"] = "sample_from"
    function: Annotated[
        Function | str,
        AfterValidator(_checked),
        PlainSerializer(_path, return_type=str),
        WithJsonSchema({"type": "string"}),
    ] = Field(description="Import path 'package.module:function'. In Python the function itself works too.")

    @property
    def path(self) -> str:
        """The function's import path; for a lambda or a local function only a description."""
        return _path(self.function)

    def load(self) -> Function:
        """Return the function, imported if only its path is known.

        Raises:
            InvalidValue: The function does not exist or takes other arguments.
        """
        if not isinstance(self.function, str):
            return self.function
        found = import_object(self.function, "the import path of a function")
        if not callable(found):
            raise InvalidValue(self.function, "the import path of a function", f"This is {found!r}.")
        _checked(found)
        return found

    def loaded(self) -> "SampleFrom":
        """Return the same entry with the function instead of its path.

        Raises:
            InvalidValue: Under the same conditions as `load`.
        """
        return SampleFrom(function=self.load())

    def __call__(self, config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the function's result
        """Return the function's result for `config`; a function without parameters gets no argument."""
        function = self.load()
        return function(config) if _takes(function, 1) else function()

    def __repr__(self) -> str:
        return f"sample_from({self.path})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SampleFrom) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def _identity(self) -> Function | str:
        """The path, or the function itself if it cannot be imported: lambdas of a module share a path."""
        return self.function if "<" in self.path else self.path


def _takes(function: Function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
