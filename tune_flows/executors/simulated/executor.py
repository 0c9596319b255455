"""Trials in virtual time: the real host in this process, with a thousand hours of training in a second.

Rules of this module:

- User code runs only inside `next_events`, one trial at a time, in the order of (virtual time, trial id).
- A step is executed at the virtual time at which it ends. So a trial never trains ahead of the clock, and a
  pause or a stop always takes effect between two steps.
- The same commands at the same virtual times give the same events: no real clock is read.
- An interrupted simulation can be resumed (`start_time`, `under_way`): steps that a trial then repeats take
  no virtual time, so further results come at the same times as without the interruption.
"""

import heapq
import math
from collections.abc import Callable, Mapping
from typing import Any

from tune_flows.core.blame import classify_error
from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial, TrialCommand
from tune_flows.core.errors import InfrastructureError, InvalidParameter, InvalidTransition, TrainableError
from tune_flows.core.events import Event, TrialCompleted, TrialFaulted, TrialPaused
from tune_flows.executors.base import saved_at_stop
from tune_flows.executors.simulated.in_flight import StepInFlight
from tune_flows.executors.simulated.lease import VirtualClock, VirtualLease, VirtualWorker
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.stoppers.thresholds import StopCriteria
from tune_flows.trainable.resolve import resolve_trainable
from tune_flows.worker.checkpoint_backend import CheckpointTransport
from tune_flows.worker.host import AdvanceRequest, Batch, Outcome, StartTrial, TrialHost
from tune_flows.worker.progress_tracker import Criteria
from tune_flows.worker.user_code import trainable_error

__all__ = ["SimulatedExecutor", "StepTime"]

StepTime = float | Callable[[Mapping[str, Any], int], float]
"""Virtual seconds of a training iteration: constant, or by configuration and iteration (from 1)."""

_End = TrialPaused | TrialCompleted | TrialFaulted


class SimulatedExecutor:
    """A deterministic `TrialExecutor` in virtual time.

    Args:
        trainable: As for `tune`. A class costs some microseconds per step, a function one thread per trial.
        slots: Trials that run at a time.
        step_time_s: Virtual seconds of a training iteration, above 0. Nothing else takes virtual time.
        checkpoints: Where checkpoints are stored; by default in this process's memory.
        stop: When a trial ends by itself: `StopCriteria`, or the mapping to parse them from.
        checkpoint_frequency: As for `TrialHost`.
        checkpoint_at_end: As for `TrialHost`; also applies to `StopTrial`.
        batch_steps: Steps whose results are handed out together, unless a decision is due earlier.
        start_time: Unix time in seconds at which virtual time begins; to resume an earlier simulation, the
            time of its newest loop iteration.
        under_way: By trial, the step under way at the end of an earlier simulation (`steps_under_way`);
            used at the trial's first launch.
        fault: Called with trial id, lease and iteration before that iteration ends; an exception that it
            returns ends the worker there. `InfrastructureError` means a lost worker, `RestoreError` a
            checkpoint that cannot be fetched, any other exception a fault of the trainable.
    """

    def __init__(
        self,
        trainable: object,
        *,
        slots: int,
        step_time_s: StepTime = 1.0,
        checkpoints: CheckpointTransport | None = None,
        stop: Criteria | Mapping[str, float] | None = None,
        checkpoint_frequency: int = 0,
        checkpoint_at_end: bool = False,
        batch_steps: int = 1,
        start_time: float = 0.0,
        under_way: Mapping[str, StepInFlight] | None = None,
        fault: Callable[[str, int, int], Exception | None] | None = None,
    ) -> None:
        if slots < 1:
            raise InvalidParameter.of("slots", slots, "1 or more")
        if batch_steps < 1:
            raise InvalidParameter.of("batch_steps", batch_steps, "1 or more")
        self._spec = resolve_trainable(trainable)
        self._slots = slots
        self._step_time_s = step_time_s
        self._checkpoints = checkpoints if checkpoints is not None else MemoryCheckpoints()
        self._stop = StopCriteria.parse(stop) if stop is None or isinstance(stop, Mapping) else stop
        self._checkpoint_frequency = checkpoint_frequency
        self._checkpoint_at_end = checkpoint_at_end
        self._batch_steps = batch_steps
        self._fault = fault
        self._now = start_time
        self._under_way = dict(under_way or {})
        self._leases: dict[str, VirtualLease] = {}
        self._idle: list[VirtualWorker] = []
        self._agenda: list[tuple[float, str, int]] = []
        self._entries = 0

    def now(self) -> float:
        """Return the virtual time in Unix seconds; serves as the driver's clock."""
        return self._now

    async def start(self) -> int:
        """Return the number of slots; nothing needs to be prepared."""
        return self._slots

    def submit(self, command: TrialCommand) -> None:
        """Accept a command; it is carried out inside `next_events`, at the current virtual time.

        Raises:
            InvalidTransition: See `TrialExecutor.submit`.
        """
        if isinstance(command, LaunchSegment):
            self._launch(command)
            return
        lease = self._leases.get(command.trial_id)
        if lease is None or lease.launch.lease != command.lease:
            return
        if isinstance(command, ContinueTrial):
            self._continue(lease, command)
            return
        lease.order = command
        if lease.is_between_steps(self._now):
            self._schedule(lease, self._now)

    async def next_events(self) -> list[Event]:
        """Advance virtual time to the next event, and return all events of that moment.

        Raises:
            InvalidTransition: No trial is training, so no event would ever happen.
        """
        events: list[Event] = []
        while self._agenda and (not events or self._agenda[0][0] <= self._now):
            at, trial_id, entry = heapq.heappop(self._agenda)
            lease = self._leases.get(trial_id)
            if lease is not None and lease.entry == entry:
                self._now = max(self._now, at)
                events.extend(self._act(lease, at))
        if not events:
            waiting = "; ".join(str(lease) for lease in self._leases.values()) or "no trial holds a worker"
            raise InvalidTransition(f"next_events would wait forever: {waiting}.")
        return events

    async def stop(self, grace_s: float) -> list[Event]:
        """Save every trial in no virtual time; a step under way has not been executed yet."""
        del grace_s
        events: list[Event] = []
        for lease in self._leases.values():
            lease.waits = False  # already reported
            events += lease.hand_out()
            if lease.started and lease.clone is None:  # otherwise no trial would resume from its state
                saved = lease.worker.host.suspend()
                events += saved_at_stop(lease.launch.trial_id, lease.launch.lease, *saved)
        return events

    async def shutdown(self) -> None:
        """End every trial."""
        for worker in [*self._idle, *(lease.worker for lease in self._leases.values())]:
            worker.host.close()
        self._idle, self._leases, self._agenda = [], {}, []

    # -- orders ------------------------------------------------------------------------------

    def _launch(self, command: LaunchSegment) -> None:
        if len(self._leases) >= self._slots or command.trial_id in self._leases:
            held = "; ".join(str(lease) for lease in self._leases.values())
            raise InvalidTransition(
                f"LaunchSegment for {command.trial_id}: got {len(self._leases)} of {self._slots} slots "
                f"taken, expected a free one and no lease of the same trial. They hold: {held}."
            )
        begins = command.checkpoint.iteration if command.checkpoint else 0
        worker = self._idle.pop() if self._idle else self._new_worker()
        step = self._under_way.pop(command.trial_id, None) or StepInFlight(self._now, begins)
        lease = VirtualLease(command, worker, command.config, begins, step, command.until, command.save_at)
        self._leases[command.trial_id] = lease
        self._schedule_step(lease)

    def _continue(self, lease: VirtualLease, command: ContinueTrial) -> None:
        if not lease.waits:
            raise InvalidTransition(f"ContinueTrial: {lease}, expected a trial that waits for a decision.")
        lease.waits = False
        lease.until, lease.save_at = command.until, command.save_at
        if command.config is not None:
            lease.clone, lease.config = command, command.config
        lease.step = StepInFlight(self._now, lease.iteration)
        self._schedule_step(lease)

    def _schedule_step(self, lease: VirtualLease) -> None:
        steps = range(lease.step.iteration + 1, lease.step_goal + 1)
        seconds = sum(self._step_time(lease.config, step) for step in steps)
        self._schedule(lease, lease.step.since + seconds)

    def _schedule(self, lease: VirtualLease, at: float) -> None:
        lease.entry = self._entries
        self._entries += 1
        heapq.heappush(self._agenda, (at, lease.launch.trial_id, lease.entry))

    def _step_time(self, config: Mapping[str, Any], iteration: int) -> float:
        step_time = self._step_time_s
        seconds = step_time(config, iteration) if callable(step_time) else step_time
        if not (seconds > 0 and math.isfinite(seconds)):  # otherwise time would stand still
            raise InvalidParameter.of("step_time_s", seconds, "finite seconds above 0")
        return seconds

    def _new_worker(self) -> VirtualWorker:
        clock = VirtualClock(self._step_time)
        host = TrialHost(
            self._spec,
            stop=self._stop,
            checkpoints=self._checkpoints,
            checkpoint_frequency=self._checkpoint_frequency,
            checkpoint_at_end=self._checkpoint_at_end,
            experiment_name="simulated",
            clock=clock,
        )
        return VirtualWorker(host, clock)

    # -- what happens ------------------------------------------------------------------------

    def _act(self, lease: VirtualLease, at: float) -> list[Event]:
        """End the step of a trial, or carry out the order for a trial between two steps."""
        end: _End | None = None
        try:
            if lease.order is None or not lease.is_between_steps(at):
                end = self._step(lease, at)
            if end is None and lease.order is not None:
                end = self._execute_order(lease, lease.order)
        except (TrainableError, InfrastructureError) as error:
            end = self._lost(lease, error)
        if end is not None:
            self._release(lease, end)
            return [*lease.hand_out(), end]
        if not lease.waits:
            lease.step = StepInFlight(at, lease.iteration)
            self._schedule_step(lease)
            if len(lease.results) < self._batch_steps:
                return []
        return lease.hand_out()

    def _step(self, lease: VirtualLease, at: float) -> TrialCompleted | None:
        launch, goal = lease.launch, lease.step_goal
        injected = self._fault(launch.trial_id, launch.lease, goal) if self._fault is not None else None
        if injected is not None:
            raise injected if isinstance(injected, InfrastructureError) else trainable_error(injected)
        batch = self._train(lease, goal, at)
        if batch.outcome is Outcome.COMPLETED:
            return TrialCompleted(launch.trial_id, launch.lease, batch.reason)
        lease.waits = goal == lease.until
        return None

    def _train(self, lease: VirtualLease, goal: int, at: float) -> Batch:
        """Train up to iteration `goal`, which ends at virtual time `at`."""
        host = lease.worker.host
        lease.worker.clock.now = at
        if not lease.started:
            host.start(_start_of(lease.launch))
        clone, lease.clone = lease.clone, None
        config, checkpoint = (clone.config, clone.checkpoint) if clone is not None else (None, None)
        batch = host.advance(AdvanceRequest(goal, lease.save_at, config, checkpoint), batch_s=math.inf)
        lease.suspend(batch)
        if batch.outcome is Outcome.RUNNING:  # results from before a fault; the next call raises it
            batch = host.advance(None, batch_s=math.inf)
            lease.suspend(batch)
        lease.started, lease.iteration = True, goal
        return batch

    def _execute_order(
        self, lease: VirtualLease, order: PauseTrial | StopTrial
    ) -> TrialPaused | TrialCompleted:
        if not lease.started and lease.iteration < lease.step.iteration:
            self._train(lease, lease.step.iteration, self._now)  # repeats what preceded the interruption
        save = order.save if isinstance(order, PauseTrial) else self._checkpoint_at_end
        lease.checkpoints += lease.worker.host.finish(save=save) if lease.started else ()
        if isinstance(order, PauseTrial):
            return TrialPaused(order.trial_id, order.lease)
        return TrialCompleted(order.trial_id, order.lease, order.reason)

    def _lost(self, lease: VirtualLease, error: TrainableError | InfrastructureError) -> TrialFaulted:
        lease.worker.host.close()
        return TrialFaulted(lease.launch.trial_id, lease.launch.lease, *classify_error(error))

    def _release(self, lease: VirtualLease, end: _End) -> None:
        del self._leases[lease.launch.trial_id]
        lease.waits = False
        if not isinstance(end, TrialFaulted) and not lease.worker.host.is_stuck:
            self._idle.append(lease.worker)


def _start_of(launch: LaunchSegment) -> StartTrial:
    return StartTrial(
        trial_id=launch.trial_id,
        lease=launch.lease,
        config=launch.config,
        iteration=launch.iteration,
        time_total_s=launch.time_total_s,
        checkpoint=launch.checkpoint,
    )
