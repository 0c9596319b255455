"""Base of search algorithms, schedulers and stoppers, each of which is a pydantic model.

- Its fields are the configuration, given as a flow parameter, in a form, in YAML or in Python.
- Its private attributes are the state, which survives a restart: `dump_state` writes it as JSON according to
  the annotations, `load_state` reads it back. A random generator is a private attribute of type `Rng`.
- Each run uses a `fresh` copy, so several runs can use the same object.
"""

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar, cast, get_type_hints

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

from tune_flows.core.errors import InvalidParameter, PolicyError
from tune_flows.core.imports import import_object
from tune_flows.core.invalid_value import InvalidValue, closest
from tune_flows.core.json_values import from_json, to_json
from tune_flows.core.schema import invalid_parameter

__all__ = ["Policy", "Rng", "new_rng", "parse_policy"]


def _rng_to_json(rng: np.random.Generator) -> dict[str, Any]:
    return dict(rng.bit_generator.state)


def _rng_from_json(state: Any) -> Any:  # noqa: ANN401 - a generator passes through
    if not isinstance(state, Mapping):
        return state
    rng = np.random.Generator(np.random.PCG64())
    rng.bit_generator.state = dict(cast("Mapping[str, Any]", state))
    return rng


Rng = Annotated[np.random.Generator, PlainSerializer(_rng_to_json), BeforeValidator(_rng_from_json)]
"""Type of a numpy generator in a policy's state."""


def new_rng(seed: int, stream: int = 0) -> np.random.Generator:
    """Return a generator that `dump_state` can write; different streams of a seed are independent."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))


_ELSEWHERE = {
    "metric": "metric and mode are parameters of tune.",
    "mode": "metric and mode are parameters of tune.",
    "time_attr": "Iterations are the only unit here.",
}
"""Hints for fields that Ray Tune's policies have and these do not."""


class Policy(BaseModel):
    """Base of `SearchAlg` and `TrialScheduler`. Fields and private attributes survive a restart."""

    model_config = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=True,
        field_title_generator=lambda name, _: name,  # on the form: the name that code and YAML use
    )

    if not TYPE_CHECKING:  # for type checkers the fields are the signature, as for every pydantic model

        def __init__(self, /, **data: object) -> None:
            """Create a policy in Python.

            Raises:
                InvalidParameter: A field is unknown or out of bounds.
                ValidationError: The same, if the class overrides `__init__`: pydantic calls an overridden
                    `__init__` when it parses, and needs its own error type there.
            """
            try:
                super().__init__(**data)
            except ValidationError as error:
                if type(self).__init__ is not Policy.__init__:
                    raise
                raise invalid_parameter(error, type(self).__name__, type(self), _ELSEWHERE) from error

        # Pydantic still builds models without calling this when it parses (JSON, a form).
        __init__.__pydantic_base_init__ = True

    @classmethod
    def kind(cls) -> str:
        """Return the name of this kind in JSON: its `type` literal, or the import path of a user's class."""
        if "type" in inspect.get_annotations(cls):  # a subclass of a built-in kind is another kind
            return str(cls.model_fields["type"].default)
        return f"{cls.__module__}:{cls.__qualname__}"

    def to_config(self) -> dict[str, Any]:
        """Return the configuration as JSON; `parse_policy` converts it back to an equal policy."""
        return {**self.model_dump(mode="json"), "type": self.kind()}

    def fresh(self) -> Self:
        """Return a copy with the same configuration and no state."""
        return type(self).model_validate(self.model_dump())

    def dump_state(self) -> dict[str, Any]:
        """Return the state as JSON: every private attribute, serialized according to its annotation.

        Raises:
            PolicyError: An attribute has no value or no JSON form; the message names it.
        """
        return {name: self._dumped(name) for name in _state_adapters(type(self))}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the state from `dump_state`, so that the policy decides as the dumped one would have.

        An attribute whose JSON form already equals the dumped one is left unchanged. So after `setup` with
        the same space, a function in it that JSON cannot restore (a lambda) still works.

        Raises:
            PolicyError: `state` is not a state of this kind of policy.
        """
        adapters = _state_adapters(type(self))
        if state.keys() != adapters.keys():
            raise PolicyError(
                f"state of {self.kind()}: got {sorted(state)}, expected {sorted(adapters)}; "
                "was it written by another version of this policy?"
            )
        try:
            loaded = {
                name: adapters[name].validate_python(from_json(value))
                for name, value in state.items()
                if not self._has(name, value)
            }
        except ValidationError as error:
            raise PolicyError(f"state of {self.kind()} cannot be read: {error}") from error
        for name, value in loaded.items():
            setattr(self, name, value)

    def _dumped(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        adapter = _state_adapters(type(self))[name]
        try:
            return to_json(adapter.dump_python(getattr(self, name), mode="json", warnings="error"))
        except (AttributeError, ValueError) as error:  # pydantic's errors are ValueErrors
            raise PolicyError(
                f"state of {self.kind()}: {name} cannot be written as JSON ({error}); convert numpy scalars "
                "with int() or float(), and annotate it as what it holds."
            ) from error

    def _has(self, name: str, dumped: Any) -> bool:  # noqa: ANN401 - any JSON value
        return hasattr(self, name) and self._dumped(name) == dumped


P = TypeVar("P", bound=Policy)


@cache
def _state_adapters(kind: type[Policy]) -> dict[str, TypeAdapter[Any]]:
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    config = ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="constants")
    adapters: dict[str, TypeAdapter[Any]] = {}
    for name in kind.__private_attributes__:
        hint = hints.get(name, Any)
        adapters[name] = TypeAdapter(hint) if _has_config(hint) else TypeAdapter(hint, config=config)
    return adapters


def _has_config(hint: object) -> bool:
    """Return whether pydantic rejects a configuration for this type, since the type has its own."""
    return is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, BaseModel))


def parse_policy(parameter: str, value: object, base: type[P], kinds: Mapping[str, type[P]]) -> P:
    """Return the policy that `value` describes, as a fresh copy.

    Args:
        parameter: Name of the parameter, for messages.
        value: An instance of `base`, the name of a kind, or a mapping with `type` (the name of a kind, or an
            import path `package.module:Class` of a user's class) and the kind's fields.
        base: Required base class of the policy.
        kinds: The built-in kinds by name.

    Raises:
        InvalidParameter: `value` describes no such policy, or a field is unknown or out of bounds.
    """
    if isinstance(value, base):
        return value.fresh()
    if isinstance(value, str):
        fields: dict[str, Any] = {"type": value}
    else:
        fields = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}
    name = fields.pop("type", None)
    if not isinstance(name, str):
        known = ", ".join(sorted(kinds))
        expected = f"a {base.__name__} or a mapping with `type`, one of {known}"
        raise InvalidParameter.of(parameter, cast("object", value), expected)
    kind = _kind(f"{parameter}.type", name, base, kinds)
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise invalid_parameter(error, parameter, kind, _ELSEWHERE) from error


def _kind(parameter: str, name: str, base: type[P], kinds: Mapping[str, type[P]]) -> type[P]:
    if name in kinds:
        return kinds[name]
    if ":" not in name:
        expected = f"one of {', '.join(sorted(kinds))}, or an import path `package.module:Class`"
        raise InvalidParameter.of(parameter, name, expected, closest(name, kinds))
    expected = f"the import path of a {base.__name__}"
    try:
        found = import_object(name, expected)
    except InvalidValue as error:
        raise error.for_parameter(parameter) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InvalidParameter.of(parameter, name, expected, f"This is {found!r}.")
    return found
