"""The shell around the runner: gather events, step, commit, act. All I/O of the loop is here.

Nothing is acted on before it is durable, and while a commit is in flight the workers go on training. What one
iteration gathers is one journal object, however many results it carries.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import ParamSpec, Protocol

from tune_flows.core.codec import record_to_json
from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.errors import MetricNotReported, StorageError
from tune_flows.core.events import CapacityChanged, DriverStarted, Event
from tune_flows.core.state import ExperimentState
from tune_flows.executors.base import TrialExecutor
from tune_flows.experiment import Experiment
from tune_flows.runner import Step, TrialRunner
from tune_flows.snapshots import Snapshots
from tune_flows.store import CheckpointStore, Journal

__all__ = ["Driver", "Observer"]

_log = logging.getLogger(__name__)

Args = ParamSpec("Args")


class Observer(Protocol):
    """Watches the loop; what it does has no part in the decisions."""

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """A loop iteration is durable."""
        ...


class Driver:
    """Runs an experiment to its end.

    Args:
        experiment: Looked at already; the driver claims it.
        executor: Not started yet; the driver starts it and shuts it down.
        checkpoints: Where dropped checkpoints are deleted.
        clock: Unix time in seconds.
        observers: Told of each durable step.
        snapshot_every: Records and results between two snapshots at least.
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
    ) -> None:
        self._experiment = experiment
        self._executor = executor
        self._checkpoints = checkpoints
        self._clock = clock
        self._observers = observers
        self._snapshot_every = snapshot_every
        self._beside: set[asyncio.Task[None]] = set()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="journal")

    async def run(self) -> ExperimentState:
        """Run until the experiment has ended; the state it ended in.

        Raises:
            ResourcesUnavailable: The executor cannot run even one trial. Final.
            PolicyError, MetricNotReported: See `TrialRunner.step`. Final.
            ExperimentFenced: Another driver has taken over. Final.
            StorageError: A commit failed beyond the retry budget.
        """
        try:
            return await self._drive()
        except MetricNotReported:
            await asyncio.to_thread(self._experiment.discard)
            raise

    async def _drive(self) -> ExperimentState:
        try:
            slots = await self._executor.start()
            journal, runner, first = await asyncio.to_thread(self._experiment.claim)
            for difference in runner.differences:
                _log.warning("replaying the journal, a policy decides differently today; %s", difference)
            snapshots = Snapshots(journal, least=self._snapshot_every)
            self._collect_orphans(runner.state)
            events: Sequence[Event] = [
                DriverStarted(journal.epoch, self._clock()),
                *first,
                CapacityChanged(slots),
            ]
            try:
                await self._iterate(journal, runner, snapshots, events)
                while runner.state.ended is None:
                    await self._iterate(journal, runner, snapshots, await self._next_events(runner))
            finally:
                await snapshots.close()
        finally:
            await self._executor.shutdown()
            await asyncio.gather(*self._beside)
            self._committer.shutdown()
        return runner.state

    async def _iterate(
        self, journal: Journal, runner: TrialRunner, snapshots: Snapshots, events: Sequence[Event]
    ) -> None:
        now = self._clock()
        step = runner.step(events, now)
        if step.records:
            records = [record_to_json(record) for record in step.records]
            append = partial(journal.append, records, at=now)
            seq = await asyncio.get_running_loop().run_in_executor(self._committer, append)
            snapshots.after_commit(runner, step, seq)
        for command in step.commands:
            if isinstance(command, DeleteCheckpoint):
                self._beside_the_loop(self._checkpoints.delete, asdict(command.checkpoint))
            else:
                self._executor.submit(command)
        for observer in self._observers:
            observer.on_step(runner.state, step)

    async def _next_events(self, runner: TrialRunner) -> Sequence[Event]:
        """What has happened; empty when the time budget ran out first."""
        timeout_s = runner.seconds_to_deadline(self._clock())
        try:
            return await asyncio.wait_for(self._executor.next_events(), timeout_s)
        except TimeoutError:
            return ()

    def _collect_orphans(self, state: ExperimentState) -> None:
        """Remove what died half-way: checkpoints of leases that are over and that no record names."""
        kept = {held.path for trial in state.trials.values() for held in trial.checkpoints}
        ended = {trial.trial_id: trial.lease for trial in state.trials.values() if trial.lease}
        if ended:
            self._beside_the_loop(self._checkpoints.collect_orphans, kept, ended=ended)

    def _beside_the_loop(self, tidy: Callable[Args, object], *args: Args.args, **kwargs: Args.kwargs) -> None:
        """Tidy up on a thread; what cannot be removed costs space, not the run."""

        async def run() -> None:
            try:
                await asyncio.to_thread(tidy, *args, **kwargs)
            except StorageError as error:
                _log.warning("a checkpoint that nobody needs stays: %s", error)

        task = asyncio.create_task(run())
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
