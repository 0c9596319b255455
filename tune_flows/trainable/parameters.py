"""Large objects beside the configuration: placed once, not sent along with every trial."""

from collections.abc import Callable
from typing import Any

__all__ = ["WithParameters", "with_parameters"]


class WithParameters:
    """A trainable and the objects that it gets as keyword arguments. Made by `with_parameters`.

    No dataclass and without a `__dict__`: Prefect would take it apart and record gigabytes as parameters.
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
    """The trainable with `objects` as keyword arguments: of the function, or of the class's `setup`.

    On Ray each object goes into the object store once; workers on one node share its memory. Treat them as
    read-only.

    Args:
        trainable: As for `tune`.
        objects: By keyword; an object of an inner `with_parameters` gives way to one of the same name.
    """
    if isinstance(trainable, WithParameters):
        return WithParameters(trainable.trainable, trainable.objects | objects)
    return WithParameters(trainable, objects)
