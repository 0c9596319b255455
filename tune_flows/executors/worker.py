"""A Ray actor that holds one trial at a time, and the driver's handle on it."""

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

import ray
import ray.exceptions

from tune_flows.core.errors import InfrastructureError
from tune_flows.core.events import FaultKind
from tune_flows.core.trial import CheckpointRef
from tune_flows.executors.resources import Resources
from tune_flows.trainable.host import Batch, StartTrial, Stretch, TrialHost

__all__ = ["Worker", "WorkerFault"]

_MAX_BATCH = 10_000
"""Results a worker hands over at a time."""


class HostActor:
    """What runs in the worker process: a `TrialHost`, reachable by calls."""

    def __init__(self, host: Mapping[str, Any], objects: Mapping[str, ray.ObjectRef[Any]]) -> None:
        trainable = host["trainable"]
        if objects:
            values: list[Any] = ray.get(list(objects.values()))
            trainable = trainable.bind(dict(zip(objects, values, strict=True)))
        self._host = TrialHost(**{**host, "trainable": trainable})

    def advance(self, start: StartTrial | None, stretch: Stretch | None, batch_s: float) -> Batch:
        """Train on; with `start`, on a new trial."""
        if start is not None:
            self._host.start(start)
        return self._host.advance(stretch, batch_s=batch_s, max_results=_MAX_BATCH)

    def save(self) -> CheckpointRef | None:
        """Save a checkpoint of the waiting trial, if there is anything new to save."""
        return self._host.save()

    def finish(self, *, save: bool) -> tuple[CheckpointRef | None, bool]:
        """End the waiting trial in order; its last checkpoint, and whether the process is stuck."""
        return self._host.finish(save=save), self._host.is_stuck

    def interrupt(self) -> None:
        """Make `advance` return between two steps."""
        self._host.interrupt()

    def close(self) -> None:
        """End whatever is there, before the process is ended."""
        self._host.close()


class Worker:
    """The driver's handle on one actor, for the driver's loop; a call that fails raises `WorkerFault`."""

    def __init__(
        self,
        *,
        host: "ray.ObjectRef[Any]",
        objects: Mapping[str, "ray.ObjectRef[Any]"],
        resources: Resources,
    ) -> None:
        self.is_stuck = False
        """Whether a thread of user code did not end: the process can only be ended."""
        remote: Any = ray.remote  # its overloads do not know concurrency_groups
        self._actor: Any = remote(
            num_cpus=resources.cpu,
            num_gpus=resources.gpu,
            memory=resources.memory or None,
            resources=dict(resources.custom) or None,
            # `interrupt` gets through while `advance` trains; all other calls come on one and the same thread
            concurrency_groups={"signals": 1},
        )(HostActor).remote(host, dict(objects))

    async def advance(self, start: StartTrial | None, stretch: Stretch | None, *, batch_s: float) -> Batch:
        """Train on until the decision point, the end, an interrupt, or `batch_s` seconds have passed."""
        with _translated():
            batch: Batch = await self._actor.advance.remote(start, stretch, batch_s)
        self.is_stuck = batch.stuck
        return batch

    async def save(self) -> CheckpointRef | None:
        """Save a checkpoint of the waiting trial, if there is anything new to save."""
        with _translated():
            return await self._actor.save.remote()

    async def finish(self, *, save: bool) -> CheckpointRef | None:
        """End the waiting trial in order."""
        with _translated():
            saved, self.is_stuck = await self._actor.finish.remote(save=save)
        return saved

    async def interrupt(self) -> None:
        """Make a running `advance` return between two steps; a worker that is gone needs no interrupt."""
        with contextlib.suppress(WorkerFault), _translated():
            await self._actor.interrupt.options(concurrency_group="signals").remote()

    async def close(self) -> None:
        """Let the trial clean up; a worker that is gone has nothing to clean."""
        with contextlib.suppress(WorkerFault), _translated():
            await self._actor.close.remote()

    def kill(self) -> None:
        """End the worker's process."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor, no_restart=True)


class WorkerFault(Exception):
    """A call to a worker failed.

    Args:
        kind: Whose fault it is.
        message: One line.
        traceback: The whole text, with the worker's traceback where there is one.
    """

    def __init__(self, kind: FaultKind, message: str, traceback: str) -> None:
        super().__init__(kind, message, traceback)
        self.kind = kind
        self.message = message
        self.traceback = traceback


@contextlib.contextmanager
def _translated() -> Generator[None]:
    """Whatever a call to an actor raises, as a `WorkerFault`."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause: object = error.cause  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        infra = isinstance(cause, InfrastructureError)
        kind = FaultKind.INFRASTRUCTURE if infra else FaultKind.TRAINABLE
        text = str(cause)
        raise WorkerFault(kind, _first_line(text), text) from error
    except (ray.exceptions.RayError, ConnectionError) as error:
        text = str(error)
        message = f"{type(error).__name__}: {_first_line(text)}"
        raise WorkerFault(FaultKind.INFRASTRUCTURE, message, text) from error


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")
