"""A segment: the training of one trial up to its next decision, and what follows on the same worker.

A `Segment` is the body of one Prefect task run. It carries out one command, then waits a little for the next
one ("extension in place"), so that short stretches do not become a task run each; see docs/decisions/0002.

Rules of this module:

- A `Lease` is one trial's hold on one worker; it outlives the segment when the trial waits for a decision
  longer than the segment may stay open.
- Everything that happens is emitted as events, in order; nothing is decided here.
- After a fault the worker is discarded. The segment then waits for the runner's decision, so that the fault
  and the decision are durable before the task run retries or fails.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial, TrialCommand
from tune_flows.core.events import (
    CheckpointSaved,
    Event,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.core.trial import CheckpointRef
from tune_flows.executors.base import events_of, saved_at_stop
from tune_flows.executors.ray.backlog import Backlog
from tune_flows.executors.ray.rate_limited_log import Quota, RateLimitedLog
from tune_flows.executors.ray.worker import Worker
from tune_flows.executors.ray.worker_faults import WorkerFault
from tune_flows.worker.host import AdvanceRequest, Outcome, StartTrial
from tune_flows.worker.output import Line

__all__ = ["Lease", "Order", "Segment", "SegmentContext", "SegmentFault", "SuspendTrial"]

_log = logging.getLogger(__name__)
_trials_log = logging.getLogger("tune_flows.trials")
_MAX_TOLD = 20
"""Maximum number of stretches that a task run's message lists; with tiny trials, a second has hundreds."""


@dataclass(frozen=True, slots=True)
class SuspendTrial:
    """An order at the session's end: save the trial and free the worker, without an end-of-lease event."""

    trial_id: str
    lease: int


Order = PauseTrial | StopTrial | SuspendTrial
"""A command that ends a lease."""


@dataclass(slots=True)
class Lease:
    """One trial's hold on one worker."""

    trial_id: str
    number: int
    supply: asyncio.Task[Worker]
    """Provides the worker, once there is room for it and the delay after a fault is over."""
    iteration: int = 0
    """Iterations reported so far."""
    order: Order | None = None
    """The order received while the trial trains; carried out between two steps."""
    segment: "Segment | None" = None
    """The segment that trains the trial or waits with it; None while no task run is open for it."""

    @property
    def worker(self) -> Worker | None:
        """The worker; None: it is not available yet, or never will be."""
        came = self.supply.done() and not self.supply.cancelled() and self.supply.exception() is None
        return self.supply.result() if came else None


class SegmentContext(Protocol):
    """What a segment needs from its executor."""

    leases: dict[str, Lease]
    """By trial id."""
    batch_s: float
    """Seconds after which a worker hands over its results."""
    open_s: float
    """Seconds that a segment stays open for further work."""
    checkpoint_at_end: bool
    backlog: Backlog
    """The results that were emitted but not taken yet."""
    total_output: Quota
    """The quota of output lines for all segments together."""

    def emit(self, *events: Event) -> None:
        """Queue events for the runner."""
        ...

    def release(self, worker: Worker) -> None:
        """Return a worker that has no trial any more to the pool."""
        ...

    async def discard(self, lease: Lease, fault: WorkerFault) -> None:
        """Collect the remaining output of a faulted lease's worker, then kill the worker."""
        ...

    def await_retry(self, trial_id: str, segment: "Segment") -> None:
        """Let a segment whose trial faulted wait for the next launch; it gets None if there is no retry."""
        ...

    def park(self, segment: "Segment") -> None:
        """Register a segment that waits for work; it receives commands through `Segment.give`."""
        ...

    def unpark(self, segment: "Segment") -> None:
        """Remove a segment that no longer waits."""
        ...


class SegmentFault(Exception):
    """A fault of a segment's trial; the task run retries if the trial does.

    Args:
        message: A summary in one line.
        traceback: The whole text.
        retry_delay_s: Seconds until the trial is retried in this task run; None: it is not retried here.
    """

    def __init__(self, message: str, traceback: str = "", *, retry_delay_s: float | None = None) -> None:
        super().__init__(message)
        self.traceback = traceback
        self.retry_delay_s = retry_delay_s

    @property
    def will_retry(self) -> bool:
        """Whether the trial is retried in this task run."""
        return self.retry_delay_s is not None


class Segment:
    """The work of one task run."""

    def __init__(self, context: SegmentContext, command: TrialCommand | SuspendTrial) -> None:
        self._context = context
        self._next: TrialCommand | SuspendTrial | None = command
        self._opened = time.monotonic()
        self._mailbox: asyncio.Future[TrialCommand | SuspendTrial | None] | None = None
        self._story: list[str] = []
        self.lease: Lease | None = None
        """The lease whose trial waits in this segment for a decision; None: any launch is accepted."""
        self.is_taskless = isinstance(command, Order)
        """Whether it only ends a lease for which no task run is open; it then runs without a task run."""
        self.trial_ids = [command.trial_id]
        """The trials of this segment, in order."""
        self.outlet = RateLimitedLog(_LibraryLog(), context.total_output)
        """The log for the output lines of its trials."""
        self.title = self._title(command)

    async def execute(self) -> str:
        """Carry out the command and those received after it; called again when the task run retries.

        Returns:
            What was done, for the state message of the task run.

        Raises:
            SegmentFault: A trial faulted, and the runner has decided whether to retry it.
        """
        try:
            while self._next is not None:
                command, self._next = self._next, None
                await self._carry_out(command)
                self._next = await self._wait_for_work()
        finally:
            self.outlet.flush()
        told = ", ".join(self._story[:_MAX_TOLD])
        more = len(self._story) - _MAX_TOLD
        return f"{told} and {more} more" if more > 0 else told

    def give(self, command: TrialCommand | SuspendTrial | None) -> bool:
        """Hand the waiting segment a command (None: close); return False if it no longer waits."""
        if self._mailbox is None or self._mailbox.done():
            return False
        self._mailbox.set_result(command)
        return True

    def _title(self, command: TrialCommand | SuspendTrial) -> str:
        lease = self._context.leases.get(command.trial_id)
        begins = command.iteration if isinstance(command, LaunchSegment) else lease.iteration if lease else 0
        if isinstance(command, Order):
            return command.trial_id
        return f"{command.trial_id} [{begins} to {'end' if command.until is None else command.until}]"

    async def _wait_for_work(self) -> TrialCommand | SuspendTrial | None:
        left = self._context.open_s - (time.monotonic() - self._opened)
        if left > 0 and not self.is_taskless:
            self._mailbox = asyncio.get_running_loop().create_future()
            self._context.park(self)
            try:
                await asyncio.wait({self._mailbox}, timeout=left)
            finally:
                self._context.unpark(self)
            if self._mailbox.done():
                return self._mailbox.result()
        if self.lease is not None:
            self.lease.segment = None
        return None

    async def _carry_out(self, command: TrialCommand | SuspendTrial) -> None:
        lease = self._lease_for(command)
        if lease is None:
            return
        try:
            match command:
                case LaunchSegment():
                    start = StartTrial(
                        trial_id=command.trial_id,
                        lease=command.lease,
                        config=command.config,
                        iteration=command.iteration,
                        time_total_s=command.time_total_s,
                        checkpoint=command.checkpoint,
                    )
                    if worker := await self._supplied(lease):
                        await self._train(
                            lease, worker, start, AdvanceRequest(command.until, command.save_at)
                        )
                case ContinueTrial():
                    request = AdvanceRequest(
                        command.until, command.save_at, command.config, command.checkpoint
                    )
                    if worker := lease.worker:
                        await self._train(lease, worker, None, request)
                case PauseTrial() | StopTrial() | SuspendTrial():
                    if worker := lease.worker:
                        await self._execute_order(lease, worker, command)
        except WorkerFault as fault:
            await self._fault(lease, fault)

    def _lease_for(self, command: TrialCommand | SuspendTrial) -> Lease | None:
        """Return the lease that the command is for, and attach it to this segment; None if it is over."""
        lease = self._context.leases.get(command.trial_id)
        if lease is None or lease.number != command.lease:
            return None
        lease.segment = self
        self.lease = lease
        if lease.trial_id not in self.trial_ids:
            self.trial_ids.append(lease.trial_id)
        return lease

    async def _supplied(self, lease: Lease) -> Worker | None:
        """Return the worker of a launched trial; None if the trial was ended before it got a worker.

        Raises:
            WorkerFault: The worker failed before it was ready.
        """
        await asyncio.wait({lease.supply})
        if lease.supply.cancelled():
            self.lease = None
            return None
        return lease.supply.result()

    async def _train(
        self, lease: Lease, worker: Worker, start: StartTrial | None, request: AdvanceRequest | None
    ) -> None:
        begun = lease.iteration
        worker.worker_output.serve(lease.trial_id, self.outlet)
        while True:
            await self._context.backlog.wait_for_room(unless=lambda: lease.order)
            batch = await worker.advance(start, request, batch_s=self._context.batch_s)
            start = request = None
            if batch.results:
                lease.iteration = batch.results[-1].iteration
            if batch.outcome is not Outcome.RUNNING:
                self._story.append(f"{lease.trial_id} [{begun} to {lease.iteration}]")
            self._context.emit(*events_of(lease.trial_id, lease.number, batch))
            if batch.outcome is Outcome.COMPLETED:
                self._end(lease, worker, TrialCompleted(lease.trial_id, lease.number, batch.reason))
                return
            if batch.outcome is Outcome.RUNNING:
                if lease.order is not None:  # an interrupt before the trial's start is lost
                    await worker.interrupt()
            elif lease.order is not None:
                await self._execute_order(lease, worker, lease.order)
                return
            elif batch.outcome is Outcome.WAITS:
                return

    async def _execute_order(self, lease: Lease, worker: Worker, order: Order) -> None:
        if isinstance(order, SuspendTrial):
            await self._suspend(lease, worker)
            return
        pauses = isinstance(order, PauseTrial)
        if order.save if pauses else self._context.checkpoint_at_end:
            self._emit_saved(lease, await worker.save())
        self._emit_saved(lease, await worker.finish())
        if pauses:
            self._end(lease, worker, TrialPaused(lease.trial_id, lease.number))
        else:
            self._end(lease, worker, TrialCompleted(lease.trial_id, lease.number, order.reason))

    async def _suspend(self, lease: Lease, worker: Worker) -> None:
        try:
            self._context.emit(*saved_at_stop(lease.trial_id, lease.number, *await worker.suspend()))
            self._emit_saved(lease, await worker.finish())
        except WorkerFault as fault:
            _log.warning("%s could not be saved at the end of the session: %s", lease.trial_id, fault.message)
        self._end(lease, worker, None)

    def _emit_saved(self, lease: Lease, checkpoints: tuple[CheckpointRef, ...]) -> None:
        for checkpoint in checkpoints:
            self._context.emit(CheckpointSaved(lease.trial_id, lease.number, checkpoint))

    def _end(self, lease: Lease, worker: Worker, event: TrialCompleted | TrialPaused | None) -> None:
        self.lease = None
        del self._context.leases[lease.trial_id]
        self._context.release(worker)
        if event is not None:
            self._context.emit(event)

    async def _fault(self, lease: Lease, fault: WorkerFault) -> None:
        self.lease = None
        del self._context.leases[lease.trial_id]
        await self._context.discard(lease, fault)
        event = TrialFaulted(lease.trial_id, lease.number, fault.kind, fault.message, fault.traceback)
        if self.is_taskless:  # no task run that could retry: the next launch opens one
            self._context.emit(event)
        else:
            self._mailbox = asyncio.get_running_loop().create_future()
            self._context.await_retry(lease.trial_id, self)
            self._context.emit(event)
            self._next = await self._mailbox
        raise SegmentFault(
            f"{lease.trial_id}: {fault.message}",
            fault.traceback,
            retry_delay_s=self._next.delay_s if isinstance(self._next, LaunchSegment) else None,
        ) from fault


class _LibraryLog:
    """Logs the output of trials when there is no task run."""

    def wants(self, level: int) -> bool:
        return _trials_log.isEnabledFor(level)

    def write(self, line: Line) -> None:
        _trials_log.log(line.level, "%s: %s", line.trial_id, line.text)
