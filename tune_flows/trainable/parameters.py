"""Passes large objects to a trainable: they are stored once instead of sent with every trial."""

from collections.abc import Callable
from typing import Any

__all__ = ["WithParameters", "with_parameters"]


class WithParameters:
    """A trainable and the objects that it receives as keyword arguments. Created by `with_parameters`.

    Not a dataclass and without a `__dict__`: Prefect would serialize it and record gigabytes as parameters.
    """

    __slots__ = ("objects", "trainable")

    def __init__(self, trainable: str | type | Callable[..., Any], objects: dict[str, Any]) -> None:
        self.trainable = trainable
        self.objects = objects

    def __repr__(self) -> str:
        return f"with_parameters({self.trainable!r}, {', '.join(f'{name}=...' for name in self.objects)})"


def with_parameters(
    trainable: str | type | Callable[..., Any] | WithParameters,
    /,
    **objects: Any,  # noqa: ANN401 - anything that pickle takes
) -> WithParameters:
    """Bind `objects` as keyword arguments to the function, or to the `setup` of the class.

    On Ray each object is put into the object store once; workers on one node share its memory. Treat the
    objects as read-only.

    Args:
        trainable: As for `tune`.
        objects: Objects by keyword; they override those of the same name in an inner `with_parameters`.
    """
    if isinstance(trainable, WithParameters):
        return WithParameters(trainable.trainable, trainable.objects | objects)
    return WithParameters(trainable, objects)
