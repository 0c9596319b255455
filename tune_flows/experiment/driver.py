"""The I/O loop around the runner: gather events, step, commit, execute commands.

No command is executed before its step is durable; workers continue training while a commit is in flight. Each
iteration writes one journal object, however many results it has gathered.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from tune_flows.core.codec import record_to_json
from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.decisions import FaultJudged
from tune_flows.core.errors import ExperimentFenced, MetricNotReported, StorageError
from tune_flows.core.events import (
    CapacityChanged,
    DriverStarted,
    DriverStopped,
    Event,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import TrialStatus
from tune_flows.executors.base import TrialExecutor
from tune_flows.experiment.checkpoint_deleter import TIDY_S, CheckpointDeleter
from tune_flows.experiment.experiment import Experiment, collect_orphans
from tune_flows.experiment.snapshotter import Snapshotter
from tune_flows.experiment.stop_requests import listening
from tune_flows.runner.runner import Step, TrialRunner
from tune_flows.store import CheckpointStore, Journal, error_key

__all__ = ["Driver", "Observer"]

_log = logging.getLogger(__name__)
_LAST_CALL_S = 2.0
"""Seconds allowed for a commit in flight when the run is cancelled and the storage does not answer."""
_AT_ONCE_S = 5.0
"""Most seconds that the other trials get to stop when the first failed trial ends the run at once."""
_LOOK_EVERY_S = 30.0
"""Seconds without an event after which the driver checks whether another driver has taken over."""
_MOST_WARNINGS = 20
_ENDS = TrialPaused | TrialCompleted | TrialFaulted

Args = ParamSpec("Args")
T = TypeVar("T")


class Observer(Protocol):
    """Observes the loop without influencing its decisions."""

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """Called after each loop iteration, once it is durable."""
        ...


class Driver:
    """Runs an experiment until it has ended or the session is stopped.

    Args:
        experiment: The experiment, after `Experiment.look`; the driver claims it.
        executor: Not yet started; the driver starts it and shuts it down.
        checkpoints: The store from which dropped checkpoints are deleted.
        clock: Unix time in seconds.
        observers: Called after each durable step.
        snapshot_every: Minimum number of records and results between two snapshots.
        shutdown_grace_s: Seconds that running trials get to finish their step and save when a session stops.
    """

    def __init__(
        self,
        *,
        experiment: Experiment,
        executor: TrialExecutor,
        checkpoints: CheckpointStore,
        clock: Callable[[], float],
        observers: Sequence[Observer] = (),
        snapshot_every: int = 1000,
        shutdown_grace_s: float = 10.0,
    ) -> None:
        self._experiment = experiment
        self._executor = executor
        self._checkpoints = checkpoints
        self._clock = clock
        self._observers = list(observers)
        self._snapshot_every = snapshot_every
        self._grace_s = shutdown_grace_s
        self.was_requested = False
        """Whether a stop request (`tune-flows stop`) ended the session."""
        self._why_stop: str | None = None
        self._waits_for: asyncio.Task[Any] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._checkpoint_deleter = CheckpointDeleter(checkpoints)
        self._tidies_for_s = 0.0

    def stop(self, reason: str) -> None:
        """Stop the session gracefully; the next one resumes the experiment.

        Call it from the driver's event loop; only the first call has an effect. To end at once, cancel `run`:
        the journal stays consistent, but the workers' newest results and states are lost.

        Args:
            reason: A few words that are recorded in the journal.
        """
        if self._why_stop is None:
            self._why_stop = reason
            _log.warning(
                "The session ends: %s. Running trials have %g s to end their step and to save.",
                reason,
                self._grace_s,
            )
            self._experiment.store.abandon_after(self._grace_s + _LAST_CALL_S)
            self._checkpoint_deleter.abandon_after(self._grace_s + _LAST_CALL_S)
            if self._waits_for is not None:
                self._waits_for.cancel()

    def _stop_as_asked(self, reason: str) -> None:
        self.was_requested = self._why_stop is None
        self.stop(reason)

    async def run(self) -> ExperimentState | None:
        """Run until the experiment has ended or `stop` was called.

        Returns:
            The last state of the experiment; None if the session was stopped before anything was recorded.

        Raises:
            ResourcesUnavailable: The executor cannot run even one trial. Final.
            PolicyError, MetricNotReported: See `TrialRunner.step`. Final.
            ExperimentFenced: Another driver has taken over. Final.
            StorageError: A commit failed beyond the retry budget.
        """
        try:
            return await self._drive()
        except MetricNotReported as error:
            if await asyncio.to_thread(self._experiment.discard):
                raise
            raise MetricNotReported(
                f"{error} As there are checkpoints, {self._experiment.store.url} is kept: carry it on with a "
                "trainable that reports the metric, or name another metric under another name."
            ) from error

    async def _drive(self) -> ExperimentState | None:
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self._shut_down)
            try:
                return await self._run_loop(ending)
            except (asyncio.CancelledError, ExperimentFenced, StorageError):
                # storage operations such as snapshots must not delay the shutdown of the workers
                self._experiment.store.abandon_after(_LAST_CALL_S)
                self._checkpoint_deleter.abandon_after()
                raise

    async def _run_loop(self, ending: AsyncExitStack) -> ExperimentState | None:
        slots = await self._unless_stopped(self._executor.start())
        if slots is None:
            return None
        journal, runner, first = await asyncio.to_thread(self._experiment.claim)
        _warn_of(runner.differences)
        snapshots = Snapshotter(journal, least=self._snapshot_every)
        ending.push_async_callback(snapshots.close)
        listens = listening(self._experiment.store, journal.epoch, self._stop_as_asked)
        await ending.enter_async_context(listens)
        self._run_in_background("orphans stay", collect_orphans, self._checkpoints, runner.state.copy())
        events: Sequence[Event] = [
            DriverStarted(journal.epoch, self._clock()),
            *first,
            CapacityChanged(slots),
        ]
        if self._why_stop is not None:
            return None
        await self._iterate(journal, runner, snapshots, events)
        while runner.state.ended is None and self._why_stop is None:
            at_once = _fails_at_once(runner.state)
            events = await (self._stop_now(runner.state) if at_once else self._next_events(journal, runner))
            await self._iterate(journal, runner, snapshots, events)
        if runner.state.ended is None and self._why_stop is not None:
            events = await self._executor.stop(self._grace_s)
            events.append(DriverStopped(self._clock(), self._why_stop))
            await self._iterate(journal, runner, snapshots, events)
        self._tidies_for_s = TIDY_S if runner.state.ended is not None else 0.0
        return runner.state

    async def _stop_now(self, state: ExperimentState) -> Sequence[Event]:
        """End all trials, which have been ordered to stop, without waiting for long steps."""
        events = await self._executor.stop(min(self._grace_s, _AT_ONCE_S))
        ended = {event.trial_id for event in events if isinstance(event, _ENDS)}
        left = [trial for trial in state.live_trials() if trial.trial_id not in ended]
        return [*events, *(TrialCompleted(trial.trial_id, trial.lease, "given up") for trial in left)]

    async def _shut_down(self) -> None:
        await self._executor.shutdown()
        self._checkpoint_deleter.abandon_after(self._tidies_for_s)
        await asyncio.gather(self._checkpoint_deleter.close(), *self._background)
        self._committer.shutdown()

    async def _iterate(
        self, journal: Journal, runner: TrialRunner, snapshots: Snapshotter, events: Sequence[Event]
    ) -> None:
        now = self._clock()
        step = runner.step(events, now)
        if step.records:
            records = [record_to_json(record) for record in step.records]
            seq = await self._committed(journal.append, records, at=now)
            snapshots.after_commit(runner, step, seq)
            if journal.can_pack:
                self._run_in_background("a resume will take longer", journal.write_packs)
            self._write_errors(runner.state, step)
        for command in step.commands:
            if isinstance(command, DeleteCheckpoint):
                self._checkpoint_deleter.delete(command.checkpoint)
            else:
                self._executor.submit(command)
        self._tell_observers(runner.state, step)

    def _tell_observers(self, state: ExperimentState, step: Step) -> None:
        """Call each observer; one that raises is removed, since observers must not affect the experiment."""
        for observer in list(self._observers):
            try:
                observer.on_step(state, step)
            except Exception:
                self._observers.remove(observer)
                _log.exception("%s is left out from here on", type(observer).__name__)

    async def _next_events(self, journal: Journal, runner: TrialRunner) -> Sequence[Event]:
        """Wait for the next events; return none on a timeout or when the session is being stopped.

        Without events there is no commit that would detect a takeover, so a timeout checks for one.
        """
        left_s = runner.seconds_to_deadline(self._clock())
        wait_s = _LOOK_EVERY_S if left_s is None else min(left_s, _LOOK_EVERY_S)
        events = await self._unless_stopped(self._executor.next_events(), wait_s)
        if events is None and self._why_stop is None:
            with suppress(StorageError):  # the next commit detects a takeover too
                await self._committed(journal.require_ownership)
        return events or ()

    async def _committed(self, write: Callable[Args, T], *args: Args.args, **kwargs: Args.kwargs) -> T:
        """Return the result of `write`, called on the journal's thread in the logging context of this run."""
        work = partial(copy_context().run, write, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._committer, work)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T | None:
        """Return the result of `work`; None if a timeout or the end of the session cancelled it."""
        if self._why_stop is not None:
            work.close()
            return None
        self._waits_for = task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        finally:
            self._waits_for = None
            task.cancel()
        await asyncio.wait({task})
        ours = self._why_stop is not None or not done
        return None if task.cancelled() and ours else task.result()

    def _write_errors(self, state: ExperimentState, step: Step) -> None:
        """Write the full error of each trial that has just failed for good to a separate file."""
        for record in step.records:
            if isinstance(record, FaultJudged) and not record.retry:
                text = f"{state.trials[record.trial_id].error}\n".encode()
                put, key = self._experiment.store.put, error_key(record.trial_id)
                self._run_in_background("an error is in the journal only", put, key, text)

    def _run_in_background(
        self, otherwise: str, tidy: Callable[Args, object], *args: Args.args, **kwargs: Args.kwargs
    ) -> None:
        """Call `tidy` on a thread; a StorageError is logged after `otherwise` and does not end the run."""

        async def run() -> None:
            try:
                await asyncio.to_thread(tidy, *args, **kwargs)
            except StorageError as error:
                _log.warning("%s: %s", otherwise, error)

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _fails_at_once(state: ExperimentState) -> bool:
    """Return whether the run must fail now; the remaining trials have been ordered to stop."""
    if state.stopping is None or state.rules.fail_fast != "raise":
        return False
    return any(trial.status is TrialStatus.ERRORED for trial in state.trials.values())


def _warn_of(differences: Sequence[str]) -> None:
    for difference in differences[:_MOST_WARNINGS]:
        _log.warning("replaying the journal, a policy decides differently today; %s", difference)
    if len(differences) > _MOST_WARNINGS:
        _log.warning("... and %d further decisions are others today", len(differences) - _MOST_WARNINGS)
