"""A Ray actor that holds one trial at a time, and the driver's handle on it."""

import asyncio
import contextlib
import functools
import pickle
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import ray
import ray.exceptions
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tune_flows.core.errors import TuneError
from tune_flows.core.events import FaultKind
from tune_flows.core.trial import CheckpointRef
from tune_flows.executors.bundles import Bundles
from tune_flows.executors.ray.worker_faults import WorkerFault, translated
from tune_flows.executors.ray.worker_output import WorkerLocation, WorkerOutput, is_noise, is_own_file
from tune_flows.executors.resources import Resources
from tune_flows.worker.host import AdvanceRequest, Batch, Outcome, StartTrial, TrialHost
from tune_flows.worker.output import Capture, Output

__all__ = ["Worker"]

T = TypeVar("T")

Heard = tuple[T, Output | None]
"""A reply, and the output so far."""

_MAX_BATCH = 10_000
"""Maximum number of results that a worker hands over at a time."""
_ANSWER_S = 5.0
"""Seconds within which a worker must report the time since its last sign of life."""
_SHORTEST_WAIT_S = 0.1


# Signals are received while `advance` trains; all other calls run on one and the same thread. The method is
# marked rather than the call, because a Ray client (`ray://`) has no call option for that.
_SIGNALS = "signals"
_signal: Any = ray.method(concurrency_group=_SIGNALS)


class HostActor:
    """The actor in the worker process: a remotely called `TrialHost`, and the capture of its output."""

    def __init__(self, host: Mapping[str, Any], objects: Mapping[str, ray.ObjectRef[Any]]) -> None:
        self._capture = Capture(noise=is_noise, is_own=is_own_file, noisy_loggers=["ray"])
        self._capture.install()
        trainable = host["trainable"]
        self._capture.record_filter.own = frozenset({trainable.identity.partition(":")[0].partition(".")[0]})
        if objects:
            values: list[Any] = ray.get(list(objects.values()))
            trainable = trainable.bind(dict(zip(objects, values, strict=True)))
        self._host = TrialHost(**{**host, "trainable": trainable}, upload_beside=True)
        self._error: BaseException | None = None

    @_signal
    def ready(self) -> WorkerLocation:
        """Return where the worker runs; a reply means that the worker is ready."""
        return WorkerLocation(ray.get_runtime_context().get_node_id(), self._capture.places())

    @_signal
    def output(self, whole: bool) -> Output | None:
        """Return what was printed since the last reply; `whole` includes an unfinished last line."""
        return self._capture.take(whole=whole)

    @_signal
    def idle_s(self) -> float:
        """Return the seconds since the call under way last showed a sign of life."""
        return self._host.idle_s

    @_signal
    def original_error(self) -> bytes | None:
        """Return the user code's last exception, pickled; None if there is none or it cannot be pickled."""
        try:
            return pickle.dumps(self._error) if self._error is not None else None
        except Exception:  # pickling a user's exception may raise anything
            return None

    def advance(
        self, start: StartTrial | None, request: AdvanceRequest | None, batch_s: float
    ) -> Heard[Batch]:
        """Continue to train; with `start`, a new trial."""
        try:
            if start is not None:
                self._capture.begin(start.trial_id)
                self._host.start(start)
            batch = self._host.advance(request, batch_s=batch_s, max_results=_MAX_BATCH)
        except TuneError as error:
            self._error = error.__cause__
            raise
        return batch, self._capture.take(whole=batch.outcome is Outcome.COMPLETED)

    def save(self) -> Heard[tuple[CheckpointRef, ...]]:
        """Save a checkpoint of the waiting trial; return all checkpoints that were not handed over yet."""
        return self._host.save(), self._capture.take()

    def suspend(self) -> Heard[tuple[tuple[CheckpointRef, ...], CheckpointRef | None]]:
        """Save the waiting trial for the next session."""
        return self._host.suspend(), self._capture.take()

    def finish(self) -> Heard[tuple[tuple[CheckpointRef, ...], bool]]:
        """End the waiting trial in order; return its last checkpoints, and whether the process is stuck."""
        saved = self._host.finish(save=False)
        return (saved, self._host.is_stuck), self._capture.take(whole=True)

    @_signal
    def interrupt(self) -> None:
        """Make `advance` return between two steps."""
        self._host.interrupt()

    def close(self) -> Heard[None]:
        """End the current trial, if any, before the process is ended."""
        self._host.close()
        return None, self._capture.take(whole=True)


class Worker:
    """The driver's handle on one actor, for the driver's event loop; failed calls raise `WorkerFault`."""

    def __init__(
        self,
        *,
        host: "ray.ObjectRef[Any]",
        objects: Mapping[str, "ray.ObjectRef[Any]"],
        resources: Resources | Bundles,
        step_timeout_s: float | None = None,
    ) -> None:
        self.is_stuck = False
        """Whether a thread of user code did not end, so that the process can only be killed."""
        self._step_timeout_s = step_timeout_s
        self._group = _reserved(resources) if isinstance(resources, Bundles) else None
        own = resources.bundles[0] if isinstance(resources, Bundles) else resources
        actors = _actor_class().options(
            num_cpus=own.cpu,
            num_gpus=own.gpu,
            memory=own.memory or None,
            resources=dict(own.custom) or None,
            scheduling_strategy=_first_bundle_of(self._group) if self._group is not None else None,
        )
        self._actor: Any = actors.remote(host, dict(objects))
        self.worker_output = WorkerOutput(self._actor.output.remote)
        """Collects what the trainable prints."""

    async def ready(self) -> None:
        """Wait until the worker is placed on a node and answers."""
        with translated():
            self.worker_output.whereabouts = await self._actor.ready.remote()

    async def advance(
        self, start: StartTrial | None, request: AdvanceRequest | None, *, batch_s: float
    ) -> Batch:
        """Train until the decision point, the end, an interrupt, or until `batch_s` seconds have passed."""
        batch: Batch = await self._watched(self._actor.advance.remote(start, request, batch_s))
        self.is_stuck = batch.stuck
        if self._step_timeout_s is not None and batch.idle_s >= self._step_timeout_s:
            raise self._hung()
        return batch

    async def save(self) -> tuple[CheckpointRef, ...]:
        """Save a checkpoint of the waiting trial; return all checkpoints that were not handed over yet."""
        return await self._watched(self._actor.save.remote())

    async def suspend(self) -> tuple[tuple[CheckpointRef, ...], CheckpointRef | None]:
        """Save the waiting trial for the next session; see `TrialHost.suspend`."""
        return await self._watched(self._actor.suspend.remote())

    async def finish(self) -> tuple[CheckpointRef, ...]:
        """End the waiting trial in order; return the checkpoints that were not handed over yet."""
        saved, self.is_stuck = await self._watched(self._actor.finish.remote())
        return saved

    async def interrupt(self) -> None:
        """Make a running `advance` return between two steps; do nothing if the worker is gone."""
        with contextlib.suppress(WorkerFault), translated():
            await self._actor.interrupt.remote()

    async def original_error(self) -> Exception | None:
        """Return the last exception of the user's code; None if there is none or it cannot be sent."""
        try:
            with translated():
                pickled: bytes | None = await self._actor.original_error.remote()
            error: object = pickle.loads(pickled) if pickled is not None else None
        except Exception:  # the worker is gone, or unpickling the user's exception failed
            return None
        return error if isinstance(error, Exception) else None

    async def close(self) -> None:
        """Let the trial clean up; do nothing if the worker is gone."""
        with contextlib.suppress(WorkerFault), translated():
            _, output = await self._actor.close.remote()
            self.worker_output.hear(output)

    def kill(self) -> None:
        """Kill the worker's process, and what it has started in its bundles."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor, no_restart=True)
            if self._group is not None:
                remove_placement_group(self._group)

    async def _watched(self, answer: Awaitable[Heard[T]]) -> T:
        """Return the answer; pass on the output separately, also while the call is running."""
        with self.worker_output.listening():
            value, output = await self._unless_hung(answer)
        await self.worker_output.settle()
        self.worker_output.hear(output)
        return value

    async def _unless_hung(self, answer: Awaitable[T]) -> T:
        """Return the answer; if the user's code hangs, kill the process, as nothing else would help."""
        with translated():
            if self._step_timeout_s is None:
                return await answer
            call = asyncio.ensure_future(_awaited(answer))
            wait_s = self._step_timeout_s
            while not (await asyncio.wait({call}, timeout=wait_s))[0]:
                idle_s = await self._silent_s()
                if idle_s is None or idle_s >= self._step_timeout_s:
                    break
                wait_s = max(self._step_timeout_s - idle_s, _SHORTEST_WAIT_S)
            else:
                return call.result()
        self.kill()
        await asyncio.wait({call}, timeout=_ANSWER_S)
        if not call.cancel():
            call.exception()  # the exception that the kill caused
        raise self._hung()

    def _hung(self) -> WorkerFault:
        message = f"no sign of life within step_timeout_s={self._step_timeout_s:g}: its worker was ended"
        return WorkerFault(FaultKind.INFRASTRUCTURE, message, "")

    async def _silent_s(self) -> float | None:
        """Return the seconds without a sign of life; None if the process does not even answer."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._actor.idle_s.remote()
        except TimeoutError:
            return None


@functools.cache
def _actor_class() -> Any:  # noqa: ANN401 - as `remote`
    """Return the class of all actors, created once: Ray keeps each actor class as long as the job runs."""
    remote: Any = ray.remote  # its overloads do not know concurrency_groups
    return remote(concurrency_groups={_SIGNALS: 1})(HostActor)


def _reserved(resources: Bundles) -> PlacementGroup:
    """Create a worker's placement group; Ray places it in the background."""
    library: Any = placement_group  # its strategy has no literal type
    return library([bundle.by_name() for bundle in resources.bundles], strategy=resources.strategy)


def _first_bundle_of(group: PlacementGroup) -> PlacementGroupSchedulingStrategy:
    """Place an actor in the group's first bundle; tasks and actors that it starts may use any bundle."""
    return PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer
