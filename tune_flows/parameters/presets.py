"""The function of a flow whose author fixed some parameters and gave others a different default.

Rules of this module:

- Fixed values are trusted, like code in a Python call. Values of open parameters come from outside.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.invalid_value import closest
from tune_flows.parameters.codec import as_json, as_objects, import_trainable, label_of

__all__ = ["FlowPreset", "require_call", "require_types"]


@dataclass(frozen=True, slots=True)
class FlowPreset:
    """A function and the parameters that the author of a flow left open."""

    wide: Callable[..., Any]
    hidden: dict[str, Any]
    """Fixed parameters, including the trainable."""
    open: tuple[inspect.Parameter, ...]

    @classmethod
    def of(
        cls, wide: Callable[..., Any], trainable: object, fixed: dict[str, Any], presets: Mapping[str, Any]
    ) -> "FlowPreset":
        """Make a preset of a function with more parameters.

        Raises:
            InvalidParameter: As `TuneFlow.with_trainable`.
        """
        known = inspect.signature(wide).parameters
        _require_known(known, fixed, presets)
        _refuse_references(fixed)
        require_types(known, fixed | dict(presets))
        hidden = {"trainable": trainable, **as_objects(fixed)}
        defaults = as_json(as_objects(presets))
        left = [
            parameter.replace(kind=parameter.KEYWORD_ONLY, default=defaults.get(name, parameter.default))
            for name, parameter in known.items()
            if name not in hidden
        ]
        return cls(wide, hidden, tuple(left))

    @property
    def label(self) -> str:
        """The label of the trainable."""
        return label_of(self.hidden["trainable"])

    @property
    def description(self) -> str:
        """Text about what the flow tunes, and which parameters are fixed."""
        fixed = [f"`{name}`" for name in self.hidden if name != "trainable"]
        return f"Tune `{self.label}`." + (f" Fixed here: {', '.join(fixed)}." if fixed else "")

    def function(self, about: str, said: Mapping[str, str], *, module: str) -> Callable[..., Any]:
        """Return the function of the flow.

        Args:
            about: The first line of its docstring.
            said: The description of each parameter.
            module: The module that it is to be defined in, according to its `__module__`.
        """

        def run(**given: Any) -> Any:  # noqa: ANN401 - parameters and result of the wide function
            trainable = import_trainable(self.hidden["trainable"])
            return self.wide(**given, **{**self.hidden, "trainable": trainable})

        names = [parameter.name for parameter in self.open]
        lines = [f"    {name}: {' '.join(said[name].split())}" for name in names if name in said]
        returned = inspect.signature(self.wide).return_annotation
        run.__doc__ = "\n".join([about, "", "Args:", *lines])
        run.__module__ = module
        vars(run)["__signature__"] = inspect.Signature(self.open, return_annotation=returned)
        return run


def _require_known(
    known: Mapping[str, inspect.Parameter], fixed: Iterable[str], presets: Iterable[str]
) -> None:
    if "trainable" not in known:
        raise InvalidParameter("with_trainable: got a flow with a fixed trainable, expected one without.")
    left = [name for name in known if name != "trainable"]
    for name in [*fixed, *presets]:
        if name not in left:
            expected = f"parameters among {', '.join(left)}"
            raise InvalidParameter.of("with_trainable", name, expected, closest(name, left))
    for name in presets:
        if name in fixed:
            raise InvalidParameter.of("with_trainable", name, "a parameter either fixed or among the presets")


def _refuse_references(fixed: Mapping[str, Any]) -> None:
    """Reject references among fixed values: Prefect resolves only those in the parameters of a run."""
    for name, value in fixed.items():
        if _is_reference(value):
            expected = "a value, not a reference, which nothing resolves where it is fixed"
            raise InvalidParameter.of(name, value, expected, "Name a storage block as 'block:NAME'.")


def require_call(
    flow: str, function: Callable[..., Any], args: tuple[object, ...], given: Mapping[str, object]
) -> None:
    """Reject an invalid call with a one-line error, where Prefect's would contain the whole signature.

    Args:
        flow: Name of the flow.
        function: The function of the flow.
        args: Positional arguments of the call.
        given: Keyword arguments of the call.

    Raises:
        InvalidParameter: A parameter is unknown, missing or given twice.
    """
    signature = inspect.signature(function)
    known = signature.parameters
    for name in given:
        if name not in known:
            hint = closest(name, known) or f"There are: {', '.join(known)}."
            raise InvalidParameter.of(flow, name, "one of its parameters", hint)
    try:
        bound = signature.bind_partial(*args, **given).arguments
    except TypeError as error:
        raise InvalidParameter(f"{flow}: got {error}, expected each parameter once, by name.") from error
    for name, parameter in known.items():
        if name not in bound and parameter.default is parameter.empty:
            raise InvalidParameter(f"{name}: got nothing, expected a value; {flow} has no default for it.")


def require_types(known: Mapping[str, inspect.Parameter], given: Mapping[str, Any]) -> None:
    """Reject a wrong type with a one-line error, where Prefect's is long and has all parameters of the run.

    Raises:
        InvalidParameter: A value has the wrong type.
    """
    for name, value in given.items():
        if name not in known or _is_reference(value):
            continue
        try:
            TypeAdapter(known[name].annotation).validate_python(value)
        except ValidationError as error:
            expected = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ")
            raise InvalidParameter.of(name, value, expected[:1].lower() + expected[1:]) from error


def _is_reference(value: object) -> bool:
    """Return whether the value is a reference to a block, which Prefect loads later."""
    return isinstance(value, dict) and "$ref" in value
