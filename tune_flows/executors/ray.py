"""Trials on Ray: an actor for each running trial, a segment (Prefect task run) for each stretch of work."""

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import ray

from tune_flows.core.commands import LaunchSegment, PauseTrial, StopTrial, TrialCommand
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.events import Event, TrialFaulted
from tune_flows.executors.cluster import Cluster
from tune_flows.executors.resources import Resources
from tune_flows.executors.segment import Lease, Segment, SegmentFault
from tune_flows.executors.worker import Worker

__all__ = ["RayExecutor", "RunSegment", "run_plainly"]

RunSegment = Callable[[Segment], Awaitable[None]]
"""Runs `Segment.execute`, again while its fault says `will_retry`: this makes a Prefect task run of it."""

_GRACE_S = 5.0
"""Seconds that running work gets to end at a shutdown."""


async def run_plainly(segment: Segment) -> None:
    """Run a segment without an orchestrator."""
    while True:
        try:
            await segment.execute()
        except SegmentFault as fault:
            if fault.will_retry:
                continue
            raise
        return


def _placed(parameter: str, value: object) -> "ray.ObjectRef[Any]":
    """The object in Ray's object store, for workers to fetch."""
    try:
        return ray.put(value)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise InvalidParameter.of(
            parameter, value, "something that pickle can carry to a worker", f"{error}".strip()
        ) from error


async def _within_grace(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for the tasks; what takes too long, such as a trainable that hangs in a step, is given up."""
    tasks = list(tasks)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class RayExecutor:
    """A `TrialExecutor` on Ray. One event loop; nothing of it is thread-safe.

    Args:
        host: Keyword arguments of the `TrialHost` in each worker.
        objects: Large objects of the trainable, by name; put into the object store once.
        resources: What each trial holds.
        address: Ray cluster to join; None: this process's Ray, or one of its own.
        reuse_workers: Whether a worker process serves one trial after another.
        run_segment: What makes a segment a task run.
        max_segments_per_s: Task runs that may be begun per second, on average.
        batch_s: Seconds after which a worker hands over its results.

    Raises:
        InvalidParameter: `max_segments_per_s` is not above 0.
    """

    def __init__(
        self,
        *,
        host: Mapping[str, Any],
        objects: Mapping[str, object] | None = None,
        resources: Resources | None = None,
        address: str | None = None,
        reuse_workers: bool = True,
        run_segment: RunSegment = run_plainly,
        max_segments_per_s: float = 20.0,
        batch_s: float = 1.0,
    ) -> None:
        if not max_segments_per_s > 0:
            raise InvalidParameter.of("max_task_runs_per_s", max_segments_per_s, "a number above 0")
        self.leases: dict[str, Lease] = {}
        self.batch_s = batch_s
        self.open_s = 1.0
        self.checkpoint_at_end: bool = bool(host.get("checkpoint_at_end"))
        self._host = dict(host)
        self._objects = dict(objects or {})
        self._resources = resources or Resources()
        self._cluster = Cluster(address)
        self._reuse_workers = reuse_workers
        self._run_segment = run_segment
        self._max_segments_per_s = max_segments_per_s
        self._idle: list[Worker] = []
        self._parked: list[Segment] = []
        self._accused: dict[str, Segment] = {}
        self._judged: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: list[Event] = []
        self._wake = asyncio.Event()
        self._broken: BaseException | None = None

    async def start(self) -> int:
        """Connect to Ray and place the trainable's objects there.

        Returns:
            How many trials fit at a time.

        Raises:
            ResourcesUnavailable: No cluster, or a trial can never fit.
            InvalidParameter: The trainable or an object of it cannot be sent to workers.
        """
        await asyncio.to_thread(self._cluster.connect)
        slots = self._resources.slots(self._cluster.nodes())
        self.open_s = max(1.0, slots / self._max_segments_per_s)
        self._host_ref = _placed("trainable", self._host)
        self._object_refs = {
            name: _placed(f"with_parameters(..., {name}=)", value) for name, value in self._objects.items()
        }
        return slots

    def submit(self, command: TrialCommand) -> None:
        """Act on a command; what comes of it is an event. Never blocks."""
        if isinstance(command, LaunchSegment):
            self._launch(command)
            return
        lease = self.leases.get(command.trial_id)
        if lease is None or lease.number != command.lease:
            return
        if lease.segment is None:
            self._open(command)
        elif not lease.segment.give(command) and isinstance(command, PauseTrial | StopTrial):
            self._interrupt(lease, command)

    async def next_events(self) -> list[Event]:
        """Everything that happened since the last call, in order; waits for the first."""
        self._pass_verdicts()
        while not self._ready:
            if self._broken is not None:
                raise self._broken
            await self._wake.wait()
            self._wake.clear()
        events, self._ready = self._ready, []
        self._judged = [event.trial_id for event in events if isinstance(event, TrialFaulted)]
        return events

    async def shutdown(self) -> None:
        """End everything that was started: segments, workers, and Ray if it was started here."""
        leases = list(self.leases.values())
        training = [lease for lease in leases if lease.segment and lease.segment not in self._parked]
        for segment in [*self._parked, *self._accused.values()]:
            segment.give(None)
        for lease in training:
            self._interrupt(lease, StopTrial(lease.trial_id, lease.number, "shut down"))
        try:
            await _within_grace(self._tasks)
            left = self.leases.values()
            closing = [*self._idle, *(lease.worker for lease in left if lease not in training)]
            await _within_grace([asyncio.create_task(worker.close()) for worker in closing])
            for worker in [*self._idle, *(lease.worker for lease in left)]:
                worker.kill()
            self._idle, self.leases = [], {}
        finally:
            await asyncio.to_thread(self._cluster.disconnect)

    # -- what segments need (`Workplace`) ----------------------------------------------------

    def emit(self, *events: Event) -> None:
        """Something happened."""
        self._ready.extend(events)
        if self._ready:
            self._wake.set()

    def release(self, worker: Worker) -> None:
        """The worker has no trial any more."""
        if self._reuse_workers and not worker.is_stuck:
            self._idle.append(worker)
        else:
            worker.kill()

    def await_verdict(self, trial_id: str, segment: Segment) -> None:
        """The segment waits for the trial's next launch, or for None once the runner has passed it over."""
        self._accused[trial_id] = segment

    def park(self, segment: Segment) -> None:
        """The segment waits for work."""
        self._parked.append(segment)

    def unpark(self, segment: Segment) -> None:
        """The segment waits no longer."""
        self._parked.remove(segment)

    # -- inside ------------------------------------------------------------------------------

    def _launch(self, command: LaunchSegment) -> None:
        # The lease begins here, not when its task run does: an order may come in between.
        lease = Lease(command.trial_id, command.lease, self._free_worker(), command.iteration)
        self.leases[command.trial_id] = lease
        accused = self._accused.pop(command.trial_id, None)
        for segment in [accused] if accused else self._parked:
            if segment.lease is None and segment.give(command):
                lease.segment = segment
                return
        self._open(command)

    def _free_worker(self) -> Worker:
        if self._idle:
            return self._idle.pop()
        return Worker(host=self._host_ref, objects=self._object_refs, resources=self._resources)

    def _open(self, command: TrialCommand) -> None:
        segment = Segment(self, command)
        lease = self.leases.get(command.trial_id)
        if lease is not None:
            lease.segment = segment
        task = asyncio.create_task(self._supervise(segment))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervise(self, segment: Segment) -> None:
        try:
            await (run_plainly if segment.is_errand else self._run_segment)(segment)
        except SegmentFault:
            pass  # told as an event already
        except Exception as error:
            self._broken = error
            self._wake.set()

    def _interrupt(self, lease: Lease, order: PauseTrial | StopTrial) -> None:
        if lease.order is None:
            lease.order = order
            task = asyncio.create_task(lease.worker.interrupt())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pass_verdicts(self) -> None:
        """The faults of the last events are judged by now: what was not launched again is over."""
        for trial_id in self._judged:
            segment = self._accused.pop(trial_id, None)
            if segment is not None:
                segment.give(None)
        self._judged = []
