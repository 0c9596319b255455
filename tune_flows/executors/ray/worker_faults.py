"""Translates Ray's errors about a failed worker into faults of a trial."""

import contextlib
import re
from collections.abc import Generator

import ray.exceptions

from tune_flows.core.blame import classify_error
from tune_flows.core.events import FaultKind

__all__ = ["WorkerFault", "translated"]

_NO_NEWS = ("The actor died unexpectedly", "class_name:", "actor_id:", "pid:", "name:", "namespace:", "ip:")
"""Beginnings of the lines in Ray's report that do not say what happened."""
_GUESSES = re.compile(r"\s*(There are some potential root|Some common) causes.*", re.DOTALL)
_MAX_LINE = 500


class WorkerFault(Exception):
    """A call to a worker failed.

    Args:
        kind: The kind of fault, which says whose fault it is.
        message: A summary in one line.
        traceback: The whole text, including the worker's traceback if there is one.
    """

    def __init__(self, kind: FaultKind, message: str, traceback: str) -> None:
        super().__init__(kind, message, traceback)
        self.kind = kind
        self.message = message
        self.traceback = traceback


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Convert the errors that a call to an actor raises to `WorkerFault`."""
    try:
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise _fault_of(error) from error


def _fault_of(error: Exception) -> WorkerFault:
    if isinstance(error, ray.exceptions.RayTaskError):
        return WorkerFault(*classify_error(getattr(error, "cause", None)))  # it has no type
    text = str(error)
    if isinstance(error, ray.exceptions.RayActorError) and error.actor_init_failed:
        # The actor's constructor imports the trainable's module and loads its objects.
        return WorkerFault(FaultKind.TRAINABLE, _last_line(text), text)
    preempted = isinstance(error, ray.exceptions.RayActorError) and error.preempted
    kind = FaultKind.PREEMPTION if preempted else FaultKind.INFRASTRUCTURE
    return WorkerFault(kind, f"{_headline(error)}: {_first_line(text)}"[:_MAX_LINE], text)


def _headline(error: Exception) -> str:
    """Return what happened, in words that also say where to look for the cause."""
    text = str(error)
    if isinstance(error, ray.exceptions.OutOfMemoryError) or "running low on memory" in text:
        return "out of memory, the worker's process was killed"
    if isinstance(error, ray.exceptions.NodeDiedError) or "node has died" in text:
        return "the worker's node was lost"
    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "the worker cannot be reached"
    if isinstance(error, ray.exceptions.RayActorError):
        return "the worker's process died"
    return type(error).__name__


def _first_line(text: str) -> str:
    """Return the first line that says what happened, without Ray's guesses at the cause."""
    lines = [line.strip() for line in _GUESSES.sub("", text).splitlines()]
    return next((line for line in lines if line and not line.startswith(_NO_NEWS)), "no message")


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
