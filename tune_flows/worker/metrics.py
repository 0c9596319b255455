"""Converts reported metrics to flat JSON values.

Nested dicts are flattened with `/`, tuples become lists, scalars of numpy, torch etc. become numbers.
"""

from collections.abc import Mapping
from typing import Any

from tune_flows.core.errors import TrainableError
from tune_flows.core.json_values import plain_json

__all__ = ["RESERVED", "flattened"]

RESERVED = frozenset(
    {
        "training_iteration",
        "iterations_since_restore",
        "time_total_s",
        "time_this_iter_s",
        "timestamp",
        "trial_id",
        "config",
    }
)
"""Fields that are filled in automatically; values reported under these names are ignored."""

_PLAIN = frozenset({bool, int, float, str, type(None)})


def flattened(metrics: Any) -> tuple[dict[str, Any], bool]:  # noqa: ANN401 - whatever the user reports
    """Return the flat metrics without reserved names and `done`, and whether `done` was true.

    Raises:
        TrainableError: The metrics are not a dict, or a value, named in the message, is not a JSON value.
    """
    if not isinstance(metrics, Mapping):
        raise TrainableError(
            f"reported metrics: got a {type(metrics).__name__}, expected a dict of metrics by name."
        )
    flat: dict[str, Any] = {}
    for key, value in metrics.items():  # pyright: ignore[reportUnknownVariableType]
        if key in RESERVED:
            continue
        if type(value) in _PLAIN and type(key) is str:  # pyright: ignore[reportUnknownArgumentType]
            flat[key] = value
        else:
            _flatten(flat, str(key), value)  # pyright: ignore[reportUnknownArgumentType]
    return flat, bool(flat.pop("done", False))


def _flatten(flat: dict[str, Any], name: str, value: Any) -> None:  # noqa: ANN401 - whatever the user reports
    if isinstance(value, Mapping):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            _flatten(flat, f"{name}/{key}", item)
        return
    try:
        flat[name] = plain_json(value)
    except TypeError as error:
        raise TrainableError(
            f"reported value of {name!r}: {error}: report numbers, strings, or lists and dicts of them."
        ) from error
