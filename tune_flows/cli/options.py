"""The parameters of `tune` as options, and their combination with a specification."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, cast

from cyclopts import Parameter

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.invalid_value import closest

__all__ = ["Options", "RunArguments", "assigned"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of every session, whether it begins an experiment or resumes it."""

    num_samples: int | None = None
    """Total number of trials, or repetitions of the grid; -1: unlimited."""
    stop: tuple[str, ...] = ()
    """NAME=THRESHOLD, such as training_iteration=81: ends a trial; may be repeated."""
    time_budget_s: float | None = None
    """Seconds of work after which the experiment ends."""
    max_wall_time_s: float | None = None
    """Seconds after which this run stops gracefully, even if the experiment has not ended."""
    max_concurrent_trials: int | None = None
    """Maximum number of trials at a time."""
    ray_address: str | None = None
    """Ray cluster to use; by default, a local Ray is started."""
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = ()
    """KEY=VALUE for any parameter of tune, or part of one (scheduler.max_t=27); VALUE is JSON, else text."""

    def assignments(self) -> dict[str, Any]:
        """Return the options that are set, by parameter."""
        said = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "set_"}
        found = {name: value for name, value in said.items() if value not in (None, ())}
        if self.stop:
            found["stop"] = assigned(self.stop, "--stop")
        return found


class RunArguments:
    """Parameters of `tune`, and the source of each.

    Args:
        parameters: Parameters from a specification or a journal.
        source: Name of the specification or journal, for messages.
    """

    def __init__(self, parameters: Mapping[str, Any], source: str) -> None:
        self.parameters = dict(parameters)
        self._sources = dict.fromkeys(parameters, source)

    def override(self, options: Mapping[str, Any], settings: Sequence[str]) -> None:
        """Override parameters by options, and then by `--set`.

        Raises:
            InvalidParameter: A setting is not of the form NAME=VALUE. Final.
        """
        for name, value in options.items():
            self.parameters[name] = value
            self._sources[name] = f"--{name.replace('_', '-')}"
        for setting in settings:
            path, value = _assignment(setting, "--set")
            name, *inside = path.split(".")
            self._put(name, inside, value)
            self._sources[name] = f"--set {path}"

    def check_names(self, function: Callable[..., Any]) -> None:
        """Raise an error for parameters that the function does not take or that it requires.

        Raises:
            InvalidParameter: A parameter is unknown or missing. Final.
        """
        taken = inspect.signature(function).parameters
        for name in self.parameters:
            if name not in taken:
                hint = closest(name, taken) or f"There are: {', '.join(taken)}."
                raise InvalidParameter(f"{self._sources[name]}: {name}: tune has no such parameter. {hint}")
        for name, parameter in taken.items():
            if parameter.default is parameter.empty and name not in self.parameters:
                raise InvalidParameter(
                    f"{name}: got nothing, expected a value: in the specification, or --set."
                )

    def blamed(self, error: InvalidParameter) -> InvalidParameter:
        """Return the same error with the source of the parameter added."""
        name = next((name for name in self._sources if _is_about(str(error), name)), None)
        return error if name is None else InvalidParameter(f"{self._sources[name]}: {error}")

    def _put(self, name: str, inside: Sequence[str], value: object) -> None:
        if not inside:
            self.parameters[name] = value
            return
        held = self.parameters.get(name)
        if isinstance(held, str) and name in ("search_alg", "scheduler"):
            held = {"type": held}  # the short form: a name only
        top = target = _copy(held)
        for part in inside[:-1]:
            target[part] = target = _copy(target.get(part))
        target[inside[-1]] = value
        self.parameters[name] = top


def assigned(settings: Sequence[str], option: str) -> dict[str, Any]:
    """Return the values of several `NAME=VALUE` by name.

    Raises:
        InvalidParameter: A setting is not of the form NAME=VALUE. Final.
    """
    return dict(_assignment(setting, option) for setting in settings)


def _assignment(setting: str, option: str) -> tuple[str, Any]:
    name, equals, text = setting.partition("=")
    if not equals or not all(name.split(".")):
        raise InvalidParameter.of(option, setting, "NAME=VALUE")
    try:
        return name, json.loads(text)
    except ValueError as error:
        if text[:1] in ("{", "[", '"'):
            raise InvalidParameter.of(f"{option} {name}", text, "JSON", f"{error}.") from error
        return name, text


def _copy(value: object) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def _is_about(message: str, name: str) -> bool:
    return message.startswith(name) and message[len(name) : len(name) + 1] in (":", ".", "[")
