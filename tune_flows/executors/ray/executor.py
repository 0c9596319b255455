"""Trials on Ray: an actor for each running trial, a segment (Prefect task run) for each stretch of work."""

import asyncio
import logging
import math
import pickle
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import ray

from tune_flows.core.commands import LaunchSegment, PauseTrial, StopTrial, TrialCommand
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.events import (
    CapacityChanged,
    Event,
    FaultKind,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.executors.bundles import Bundles
from tune_flows.executors.ray.backlog import Backlog
from tune_flows.executors.ray.capacity import CapacityWatch
from tune_flows.executors.ray.cluster import Cluster
from tune_flows.executors.ray.pending_retries import PendingRetries
from tune_flows.executors.ray.rate_limited_log import total_quota
from tune_flows.executors.ray.segment import Lease, Order, Segment, SegmentFault, SuspendTrial
from tune_flows.executors.ray.worker import Worker
from tune_flows.executors.ray.worker_faults import WorkerFault
from tune_flows.executors.ray.worker_pool import WorkerPool
from tune_flows.executors.resources import Resources

__all__ = ["RayExecutor", "RunSegment", "run_plainly"]

_log = logging.getLogger(__name__)

RunSegment = Callable[[Segment], Awaitable[None]]
"""Runs `Segment.execute`, and again while its fault says `will_retry`; for example as a Prefect task run.

If it gives up earlier and raises such a fault, the segment continues without a task run.
"""

_GRACE_S = 5.0
"""Seconds that running work has to end at a shutdown."""


async def run_plainly(segment: Segment) -> None:
    """Run a segment without an orchestrator."""
    while True:
        try:
            await segment.execute()
        except SegmentFault as fault:
            if fault.retry_delay_s is None:
                raise
            await asyncio.sleep(fault.retry_delay_s)
        else:
            return


def _placed(parameter: str, value: object) -> "ray.ObjectRef[Any]":
    """Put an object into Ray's object store, for workers to fetch."""
    try:
        return ray.put(value)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise InvalidParameter.of(
            parameter, value, "something that pickle can carry to a worker", f"{error}".strip()
        ) from error


async def _within_grace(tasks: Iterable[asyncio.Task[None]], grace_s: float) -> None:
    """Wait for the tasks; cancel those that take too long, such as with a trainable that hangs in a step."""
    tasks = list(tasks)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_of_the_end(event: Event) -> bool:
    """Return whether a worker was lost; during a stop, the cause may be the signal that ends this process."""
    return isinstance(event, TrialFaulted) and event.kind is not FaultKind.TRAINABLE


class RayExecutor:
    """A `TrialExecutor` on Ray. Belongs to one event loop; not thread-safe.

    Args:
        host: Keyword arguments of the `TrialHost` in each worker.
        objects: Large objects of the trainable, by name; put into the object store once.
        resources: Resources that each trial holds.
        address: Ray cluster to join; None: this process's Ray, or a new one on this machine.
        reuse_workers: Whether a worker process serves one trial after another.
        run_segment: Runs a segment, for example as a task run.
        max_segments_per_s: Task runs that may begin per second, on average.
        batch_s: Seconds after which a worker hands over its results.
        max_backlog: Results that may wait for `next_events`; when there are more, training waits.
        step_timeout_s: Seconds without a sign of life of the trainable after which its worker counts as lost;
            None: never.
        keep_errors: Whether to fill `own_errors`.

    Raises:
        InvalidParameter: `max_segments_per_s` or `step_timeout_s` is not above 0, or `max_backlog` below 1.
    """

    def __init__(
        self,
        *,
        host: Mapping[str, Any],
        objects: Mapping[str, object] | None = None,
        resources: Resources | Bundles | None = None,
        address: str | None = None,
        reuse_workers: bool = True,
        run_segment: RunSegment = run_plainly,
        max_segments_per_s: float = 20.0,
        batch_s: float = 1.0,
        max_backlog: int = 20_000,
        step_timeout_s: float | None = None,
        keep_errors: bool = False,
    ) -> None:
        if not max_segments_per_s > 0:
            raise InvalidParameter.of("max_task_runs_per_s", max_segments_per_s, "a number above 0")
        if step_timeout_s is not None and not (math.isfinite(step_timeout_s) and step_timeout_s > 0):
            raise InvalidParameter.of(
                "step_timeout_s", step_timeout_s, "seconds above 0, or None for no limit"
            )
        self.leases: dict[str, Lease] = {}
        self.batch_s = batch_s
        self.backlog = Backlog(max_backlog)
        self.own_errors: dict[str, Exception] = {}
        """By trial, the exception of its newest fault, if the trainable raised it and it can be sent."""
        self.total_output = total_quota()
        self.open_s = 1.0
        self.checkpoint_at_end: bool = bool(host.get("checkpoint_at_end"))
        self._host = dict(host)
        self._objects = dict(objects or {})
        self._resources = resources or Resources()
        self._cluster = Cluster(address)
        self._watch = CapacityWatch(self._cluster, self._resources, self._resize)
        self._step_timeout_s = step_timeout_s
        self._keep_errors = keep_errors
        self._pending_retries = PendingRetries()
        self._worker_pool = WorkerPool(self._new_worker, reuse=reuse_workers)
        self._run_segment = run_segment
        self._max_segments_per_s = max_segments_per_s
        self._parked: list[Segment] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: list[Event] = []
        self._wake = asyncio.Event()
        self._broken: BaseException | None = None
        self._is_stopping = False
        self._grace_s = _GRACE_S

    async def start(self) -> int:
        """Connect to Ray and place the trainable's objects there.

        Returns:
            The number of trials that fit at a time.

        Raises:
            ResourcesUnavailable: There is no such cluster, or a trial can never fit.
            InvalidParameter: The trainable or one of its objects cannot be sent to workers.
        """
        await asyncio.to_thread(self._cluster.connect)
        slots = self._resources.slots(self._cluster.nodes())
        self._set_pace(slots)
        self._watch.start(slots)
        self._host_ref = _placed("trainable", self._host)
        self._object_refs = {
            name: _placed(f"with_parameters(..., {name}=)", value) for name, value in self._objects.items()
        }
        return slots

    def submit(self, command: TrialCommand) -> None:
        """Accept a command without blocking; its outcome is reported as an event."""
        if isinstance(command, LaunchSegment):
            self._launch(command)
            return
        lease = self.leases.get(command.trial_id)
        if lease is not None and lease.number == command.lease:
            self._pass_on(lease, command)

    async def next_events(self) -> list[Event]:
        """Wait for events, and return all since the last call, in order."""
        self._pending_retries.start_next_iteration()
        while not self._ready:
            if self._broken is not None:
                raise self._broken
            await self._wake.wait()
            self._wake.clear()
        events, self._ready = self._ready, []
        self.backlog.clear()
        self._pending_retries.told(events)
        return events

    async def stop(self, grace_s: float) -> list[Event]:
        """End every lease between two steps, with a checkpoint; see `TrialExecutor.stop`."""
        await self._watch.stop()
        self._is_stopping = True
        self.open_s = self._grace_s = 0.0  # a shutdown that interrupts this is quick
        for lease in list(self.leases.values()):
            self._pass_on(lease, SuspendTrial(lease.trial_id, lease.number))
        for segment in self._parked:
            segment.give(None)
        self._pending_retries.close()
        await _within_grace(self._tasks, grace_s)
        self._grace_s = _GRACE_S
        events, self._ready = self._ready, []
        return [event for event in events if not _is_of_the_end(event)]

    async def shutdown(self) -> None:
        """End everything that was started: segments, workers, and Ray if it was started here."""
        await self._watch.stop()
        leases = list(self.leases.values())
        training = [lease for lease in leases if lease.segment and lease.segment not in self._parked]
        for segment in self._parked:
            segment.give(None)
        self._pending_retries.close()
        for lease in training:
            self._interrupt(lease, StopTrial(lease.trial_id, lease.number, "shut down"))
        try:
            await _within_grace(self._tasks, self._grace_s)
            left = list(self.leases.values())
            idle = self._worker_pool.close()
            waiting = [lease.worker for lease in left if lease not in training]
            closing = [worker for worker in [*idle, *waiting] if worker is not None]
            await _within_grace([asyncio.create_task(worker.close()) for worker in closing], self._grace_s)
            for worker in [*idle, *(lease.worker for lease in left)]:
                if worker is not None:
                    worker.kill()
            self.leases = {}
        finally:
            await asyncio.to_thread(self._cluster.disconnect)

    # -- what segments need (`SegmentContext`) ----------------------------------------------------

    def emit(self, *events: Event) -> None:
        """Queue events for `next_events`."""
        self._ready.extend(events)
        self.backlog.add(events)
        if self._ready:
            self._wake.set()

    def release(self, worker: Worker) -> None:
        """Return a worker that has no trial any more to the pool."""
        self._worker_pool.give_back(worker)

    async def discard(self, lease: Lease, fault: WorkerFault) -> None:
        """Collect the remaining output of a faulted lease's worker, then kill the worker."""
        worker = lease.worker
        if worker is None:
            return
        try:
            await worker.worker_output.drain()
            self.own_errors.pop(lease.trial_id, None)
            if self._keep_errors and fault.kind is FaultKind.TRAINABLE:
                error = await worker.original_error()
                if error is not None:
                    error.add_note(f"In {lease.trial_id}:\n{fault.traceback}")
                    self.own_errors[lease.trial_id] = error
        finally:
            worker.kill()

    def await_retry(self, trial_id: str, segment: Segment) -> None:
        """Let a segment wait for its trial's next launch; it gets None if the runner does not retry."""
        if self._is_stopping:
            segment.give(None)
        else:
            self._pending_retries.add(trial_id, segment)

    def park(self, segment: Segment) -> None:
        """Register a segment that waits for work."""
        self._parked.append(segment)

    def unpark(self, segment: Segment) -> None:
        """Remove a segment that no longer waits."""
        self._parked.remove(segment)

    # -- inside ------------------------------------------------------------------------------

    def _launch(self, command: LaunchSegment) -> None:
        # The lease begins here, not with its task run: a command may arrive in between.
        supply = asyncio.create_task(self._supply(command.delay_s))
        lease = Lease(command.trial_id, command.lease, supply, command.iteration)
        self.leases[command.trial_id] = lease
        accused = self._pending_retries.pop(command.trial_id)
        welcome = self._parked if command.delay_s == 0 else ()
        for segment in [accused] if accused else welcome:
            if segment.lease is None and segment.give(command):
                lease.segment = segment
                return
        self._open(command)

    def _pass_on(self, lease: Lease, command: TrialCommand | SuspendTrial) -> None:
        """Give a command to the lease's segment if it waits; else interrupt the trial between two steps."""
        if lease.segment is None:
            self._open(command)
        elif not lease.segment.give(command) and isinstance(command, Order):
            self._interrupt(lease, command)

    async def _supply(self, delay_s: float) -> Worker:
        await asyncio.sleep(delay_s)  # without a worker, so that others can use its resources
        return await self._worker_pool.take()

    def _new_worker(self) -> Worker:
        return Worker(
            host=self._host_ref,
            objects=self._object_refs,
            resources=self._resources,
            step_timeout_s=self._step_timeout_s,
        )

    def _open(self, command: TrialCommand | SuspendTrial) -> None:
        segment = Segment(self, command)
        lease = self.leases.get(command.trial_id)
        if lease is not None:
            lease.segment = segment
        task = asyncio.create_task(self._supervise(segment))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervise(self, segment: Segment) -> None:
        try:
            await self._run(segment)
        except SegmentFault:
            pass  # already reported as an event
        except Exception as error:
            self._broken = error
            self._wake.set()

    async def _run(self, segment: Segment) -> None:
        try:
            await (run_plainly if segment.is_taskless else self._run_segment)(segment)
        except SegmentFault as fault:
            if not fault.will_retry:
                raise
            told = "%s goes on without its task run, which was not retried after: %s"
            _log.warning(told, segment.title, fault)
            await run_plainly(segment)  # it holds the launch that retries the trial

    def _interrupt(self, lease: Lease, order: Order) -> None:
        worker = lease.worker
        if worker is None and lease.supply.cancel():  # not started yet: it ends at once
            del self.leases[lease.trial_id]
            if isinstance(order, PauseTrial):
                self.emit(TrialPaused(lease.trial_id, lease.number))
            elif isinstance(order, StopTrial):
                self.emit(TrialCompleted(lease.trial_id, lease.number, order.reason))
        elif worker is not None and lease.order is None:
            lease.order = order
            self.backlog.stir()
            task = asyncio.create_task(worker.interrupt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _resize(self, slots: int) -> None:
        """Adapt to a changed number of slots, and report it."""
        self._set_pace(slots)
        self._worker_pool.trim()
        self.emit(CapacityChanged(slots))

    def _set_pace(self, slots: int) -> None:
        self.open_s = max(1.0, slots / self._max_segments_per_s)
