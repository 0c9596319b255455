"""Parameters of `tune` that the author of a flow chose in code, and how any of them is written as JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from tune_flows.core.allowed import trusted_paths
from tune_flows.core.imports import import_object, path_of
from tune_flows.core.invalid_value import InvalidValue
from tune_flows.core.policy import Policy
from tune_flows.core.space import ParamSpace
from tune_flows.schedulers import parse_scheduler
from tune_flows.search import parse_search_alg
from tune_flows.trainable import WithParameters

__all__ = ["as_json", "as_objects", "import_trainable", "label_of"]

_PARSED: Mapping[str, Callable[[Any], object]] = {
    "search_alg": parse_search_alg,
    "scheduler": parse_scheduler,
    "param_space": lambda value: ParamSpace.parse(value).loaded(),
}
"""What import paths may stand in, beside the trainable."""


def as_objects(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with every import path replaced by what stands there, whatever is allowed to others.

    Raises:
        InvalidParameter: A policy or the space cannot be.
    """
    with trusted_paths():
        return {name: _PARSED[name](value) if name in _PARSED else value for name, value in chosen.items()}


def import_trainable(trainable: object) -> object:
    """What the author's import path stands for; everything else as it is.

    Raises:
        InvalidParameter: It cannot be imported.
    """
    if not isinstance(trainable, str):
        return trainable
    try:
        with trusted_paths():
            return import_object(trainable, "the import path of what to train")
    except InvalidValue as error:
        raise error.for_parameter("trainable") from error.__cause__ or error


def as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as a run form could give them; with `<` in it, which no form accepts, what it cannot."""
    return {name: _plain(name, value) for name, value in parameters.items()}


def label_of(trainable: object) -> str:
    """What people call it: its import path, if it has one."""
    if isinstance(trainable, str):
        return trainable
    if isinstance(trainable, WithParameters):
        return f"<with_parameters({label_of(trainable.trainable)}, {', '.join(trainable.objects)})>"
    return path_of(trainable)


def _plain(name: str, value: object) -> object:
    if name == "trainable":
        return label_of(value)
    if isinstance(value, Policy):
        return value.to_config()
    return value.to_json() if isinstance(value, ParamSpace) else value
