"""Converts parameters of `tune`: those fixed by the author of a flow to objects, and any of them to JSON."""

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
"""Parsers of the parameters, other than the trainable, that may contain import paths."""


def as_objects(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with import paths resolved to objects; every path is allowed.

    Raises:
        InvalidParameter: A policy or the space is invalid.
    """
    with trusted_paths():
        return {name: _PARSED[name](value) if name in _PARSED else value for name, value in chosen.items()}


def import_trainable(trainable: object) -> object:
    """Import the trainable if the author gave an import path; return anything else unchanged.

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
    """Return the parameters as JSON; one that has no JSON form gets a `<...>` in it, which forms reject."""
    return {name: _plain(name, value) for name, value in parameters.items()}


def label_of(trainable: object) -> str:
    """Return a label for the trainable: its import path, if it has one."""
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
