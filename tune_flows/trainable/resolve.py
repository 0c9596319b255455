"""Resolves what the user passes as trainable to a `TrainableSpec` that a worker can run."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.imports import import_object
from tune_flows.core.invalid_value import InvalidValue
from tune_flows.trainable.api import Trainable
from tune_flows.trainable.parameters import WithParameters

__all__ = ["TrainableSpec", "resolve_trainable"]

_EXPECTED = (
    "an import path 'package.module:name', a function train(config), a subclass of Trainable "
    "or with_parameters(...)"
)


@dataclass(frozen=True, slots=True)
class TrainableSpec:
    """A checked trainable, and the objects that it receives in addition to the configuration.

    An executor may remove `parameters`, store them, and restore them in the worker with `bind`.
    """

    target: type[Trainable] | Callable[..., Any]
    identity: str
    """`module:qualname`, the same for a trainable regardless of the form in which it was passed."""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def is_class(self) -> bool:
        """Whether it is a Trainable class, as opposed to a function."""
        return isinstance(self.target, type)

    @property
    def can_checkpoint(self) -> bool:
        """Whether it may save checkpoints: False for a class without `save_checkpoint`."""
        return _overrides(self.target, "save_checkpoint") if isinstance(self.target, type) else True

    def bind(self, resolved: Mapping[str, Any]) -> "TrainableSpec":
        """Return the same trainable with `resolved` as its parameters."""
        return replace(self, parameters=dict(resolved))

    def make(self, config: dict[str, Any], *, trial_id: str, iteration: int) -> Trainable:
        """Create an instance of the class, set up for a trial that has done `iteration` iterations."""
        made = cast("type[Trainable]", self.target)()
        made.config, made.trial_id, made.iteration = config, trial_id, iteration
        made.setup(config, **self.parameters)
        return made

    def call(self, config: dict[str, Any]) -> Any:  # noqa: ANN401 - what the user's function returns
        """Run the function."""
        return cast("Callable[..., Any]", self.target)(config, **self.parameters)


def resolve_trainable(value: object) -> TrainableSpec:
    """Return the checked trainable that `value` denotes.

    Args:
        value: An import path `package.module:name` (or `package.module.name`), a function, a Trainable class,
            or the return value of `with_parameters`.

    Raises:
        InvalidParameter: It cannot be imported, is none of these, or does not accept the arguments.
    """
    if isinstance(value, TrainableSpec):
        return value
    parameters: dict[str, Any] = {}
    if isinstance(value, WithParameters):
        value, parameters = value.trainable, value.objects
    target = _imported(value) if isinstance(value, str) else value
    if isinstance(target, WithParameters):
        target, parameters = target.trainable, target.objects | parameters
    if isinstance(target, type):
        _check_class(target, parameters)
    elif callable(target):
        _check_function(target, parameters)
    else:
        hint = "Pass the class, not an instance." if isinstance(target, Trainable) else ""
        raise InvalidParameter.of("trainable", value, _EXPECTED, hint)
    return TrainableSpec(target, _identity(target, value), parameters)


def _check_class(target: type[Any], parameters: Mapping[str, Any]) -> None:
    if not issubclass(target, Trainable):
        hint = "Derive it from tune_flows.Trainable."
        raise InvalidParameter.of("trainable", target, _EXPECTED, hint)
    if not _overrides(target, "step"):
        raise InvalidParameter.of("trainable", target, "a Trainable that defines step()")
    if _overrides(target, "save_checkpoint") != _overrides(target, "load_checkpoint"):
        raise InvalidParameter.of(
            "trainable", target, "both save_checkpoint() and load_checkpoint(), or neither"
        )
    try:
        inspect.signature(target).bind()
    except TypeError as error:
        expected = "a Trainable that is made without arguments"
        raise InvalidParameter.of("trainable", target, expected, "setup(config) gets the config.") from error
    _check_call("setup(self, config, ...)", target, target.setup, (None, {}), parameters)


def _check_function(target: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
    if inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target):
        raise InvalidParameter.of("trainable", target, "a plain function", "Call asyncio.run() inside it.")
    _check_call("a function train(config, ...)", target, target, ({},), parameters)


def _check_call(
    expected: str,
    target: object,
    function: Callable[..., Any],
    args: tuple[object, ...],
    parameters: Mapping[str, Any],
) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in callables have no signature
        return
    try:
        signature.bind(*args, **parameters)
    except TypeError as error:
        given = "".join(f", {name}=..." for name in parameters)
        raise InvalidParameter.of(
            "trainable",
            target,
            f"{expected} that can be called as (config{given})",
            f"Its signature is {signature}: {error}.",
        ) from error


def _overrides(target: type, method: str) -> bool:
    return getattr(target, method) is not getattr(Trainable, method)


def _identity(target: object, value: object) -> str:
    if isinstance(target, functools.partial):
        return _identity(target.func, value)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}:{getattr(named, '__qualname__', '')}"


def _imported(path: str) -> object:
    try:
        return import_object(path, _EXPECTED)
    except InvalidValue as error:
        raise error.for_parameter("trainable") from error.__cause__ or error
