"""A segment: the training of one trial up to its next decision, and what follows on the same worker.

A `Segment` is the body of one Prefect task run. It carries out one command, then waits a little for the next
one ("extension in place"), so that short stretches do not become a task run each; see docs/decisions/0002.

Rules of this module:

- A `Lease` is one trial's hold on one worker; it outlives the segment when the trial waits for a decision
  longer than the segment may stay open.
- Everything that happens is emitted as events, in order; nothing is decided here.
- After a fault the worker is discarded. The segment then waits for the runner's verdict, so that the fault
  and the verdict are durable before the task run retries or fails.
"""

import asyncio
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
from tune_flows.executors.base import events_of
from tune_flows.executors.worker import Worker, WorkerFault
from tune_flows.trainable.host import Outcome, StartTrial, Stretch

__all__ = ["Lease", "Segment", "SegmentFault", "Workplace"]

_MAX_TOLD = 20
"""Stretches that a task run's message names; a second of tiny trials holds hundreds."""


@dataclass(slots=True)
class Lease:
    """One trial's hold on one worker."""

    trial_id: str
    number: int
    worker: Worker
    iteration: int = 0
    """Iterations reported."""
    order: PauseTrial | StopTrial | None = None
    """What the trial was told while it trains; carried out between two steps."""
    segment: "Segment | None" = None
    """The segment that trains it or waits with it; None while no task run is open for it."""


class Workplace(Protocol):
    """What a segment needs of its executor."""

    leases: dict[str, Lease]
    """By trial id."""
    batch_s: float
    """Seconds after which a worker hands over what it has."""
    open_s: float
    """Seconds that a segment stays open for further work."""
    checkpoint_at_end: bool

    def emit(self, *events: Event) -> None:
        """Something happened."""
        ...

    def release(self, worker: Worker) -> None:
        """The worker has no trial any more."""
        ...

    def await_verdict(self, trial_id: str, segment: "Segment") -> None:
        """The segment's trial faulted: it is given the next launch, or None if there is no further try."""
        ...

    def park(self, segment: "Segment") -> None:
        """The segment waits for work; it takes a command through `Segment.give`."""
        ...

    def unpark(self, segment: "Segment") -> None:
        """The segment waits no longer."""
        ...


class SegmentFault(Exception):
    """The trial of a segment faulted; the task run is to retry if the trial is."""

    def __init__(self, message: str, *, will_retry: bool = False) -> None:
        super().__init__(message)
        self.will_retry = will_retry


class Segment:
    """One open task run's worth of work."""

    def __init__(self, workplace: Workplace, command: TrialCommand) -> None:
        self._workplace = workplace
        self._next: TrialCommand | None = command
        self._opened = time.monotonic()
        self._gift: asyncio.Future[TrialCommand | None] | None = None
        self._story: list[str] = []
        self.lease: Lease | None = None
        """The trial that waits in this segment for its decision; None: any launch is welcome."""
        self.is_errand = isinstance(command, PauseTrial | StopTrial)
        """Whether it only ends a lease for which no task run is open: it gets none of its own."""
        self.trial_ids = [command.trial_id]
        """The trials that it served, in order."""
        self.title = self._title(command)

    async def execute(self) -> str:
        """Carry out the command and what is given after it; called again when the task run retries.

        Returns:
            What was done, for the state message of the task run.

        Raises:
            SegmentFault: A trial faulted; the runner has judged it.
        """
        while self._next is not None:
            command, self._next = self._next, None
            await self._carry_out(command)
            self._next = await self._wait_for_work()
        told = ", ".join(self._story[:_MAX_TOLD])
        more = len(self._story) - _MAX_TOLD
        return f"{told} and {more} more" if more > 0 else told

    def give(self, command: TrialCommand | None) -> bool:
        """Hand the waiting segment a command (None: close); False when it no longer waits."""
        if self._gift is None or self._gift.done():
            return False
        self._gift.set_result(command)
        return True

    def _title(self, command: TrialCommand) -> str:
        lease = self._workplace.leases.get(command.trial_id)
        begins = command.iteration if isinstance(command, LaunchSegment) else lease.iteration if lease else 0
        if isinstance(command, PauseTrial | StopTrial):
            return command.trial_id
        return f"{command.trial_id} [{begins} to {'end' if command.until is None else command.until}]"

    async def _wait_for_work(self) -> TrialCommand | None:
        left = self._workplace.open_s - (time.monotonic() - self._opened)
        if left > 0 and not self.is_errand:
            self._gift = asyncio.get_running_loop().create_future()
            self._workplace.park(self)
            try:
                await asyncio.wait({self._gift}, timeout=left)
            finally:
                self._workplace.unpark(self)
            if self._gift.done():
                return self._gift.result()
        if self.lease is not None:
            self.lease.segment = None
        return None

    async def _carry_out(self, command: TrialCommand) -> None:
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
                    await self._train(lease, start, Stretch(command.until, command.save_at))
                case ContinueTrial():
                    stretch = Stretch(command.until, command.save_at, command.config, command.checkpoint)
                    await self._train(lease, None, stretch)
                case PauseTrial() | StopTrial():
                    await self._obey(lease, command)
        except WorkerFault as fault:
            await self._fault(lease, fault)

    def _lease_for(self, command: TrialCommand) -> Lease | None:
        """The lease that the command is for; None when that one is over."""
        lease = self._workplace.leases.get(command.trial_id)
        if lease is None or lease.number != command.lease:
            return None
        lease.segment = self
        self.lease = lease
        if lease.trial_id not in self.trial_ids:
            self.trial_ids.append(lease.trial_id)
        return lease

    async def _train(self, lease: Lease, start: StartTrial | None, stretch: Stretch | None) -> None:
        begun = lease.iteration
        while True:
            batch = await lease.worker.advance(start, stretch, batch_s=self._workplace.batch_s)
            start = stretch = None
            if batch.results:
                lease.iteration = batch.results[-1].iteration
            if batch.outcome is not Outcome.RUNNING:
                self._story.append(f"{lease.trial_id} [{begun} to {lease.iteration}]")
            self._workplace.emit(*events_of(lease.trial_id, lease.number, batch))
            if batch.outcome is Outcome.COMPLETED:
                self._end(lease, TrialCompleted(lease.trial_id, lease.number, batch.reason))
                return
            if batch.outcome is Outcome.RUNNING:
                if lease.order is not None:  # the interrupt came before the trial's start, which forgets it
                    await lease.worker.interrupt()
            elif lease.order is not None:
                await self._obey(lease, lease.order)
                return
            elif batch.outcome is Outcome.WAITS:
                return

    async def _obey(self, lease: Lease, order: PauseTrial | StopTrial) -> None:
        if isinstance(order, PauseTrial):
            if order.save:
                self._emit_saved(lease, await lease.worker.save())
            await lease.worker.finish(save=False)
            self._end(lease, TrialPaused(lease.trial_id, lease.number))
        else:
            saved = await lease.worker.finish(save=self._workplace.checkpoint_at_end)
            self._emit_saved(lease, saved)
            self._end(lease, TrialCompleted(lease.trial_id, lease.number, order.reason))

    def _emit_saved(self, lease: Lease, checkpoint: CheckpointRef | None) -> None:
        if checkpoint is not None:
            self._workplace.emit(CheckpointSaved(lease.trial_id, lease.number, checkpoint))

    def _end(self, lease: Lease, event: TrialCompleted | TrialPaused) -> None:
        self.lease = None
        del self._workplace.leases[lease.trial_id]
        self._workplace.release(lease.worker)
        self._workplace.emit(event)

    async def _fault(self, lease: Lease, fault: WorkerFault) -> None:
        self.lease = None
        del self._workplace.leases[lease.trial_id]
        lease.worker.kill()
        event = TrialFaulted(lease.trial_id, lease.number, fault.kind, fault.message, fault.traceback)
        if self.is_errand:  # no task run that could retry: another launch opens one of its own
            self._workplace.emit(event)
        else:
            self._gift = asyncio.get_running_loop().create_future()
            self._workplace.await_verdict(lease.trial_id, self)
            self._workplace.emit(event)
            self._next = await self._gift
        raise SegmentFault(f"{lease.trial_id}: {fault.message}", will_retry=self._next is not None) from fault
