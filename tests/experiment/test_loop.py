"""The loop itself: deadlines, deletions, and what is left when it ends."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.experiment.simulated_experiment import Curve, Greedy, SimulatedExperiment
from tune_flows.core.commands import LaunchSegment, StopTrial
from tune_flows.core.decisions import CONTINUE, TrialDecided
from tune_flows.core.errors import PolicyError, ResourcesUnavailable, StorageError
from tune_flows.core.events import TrialCompleted
from tune_flows.core.rules import Rules
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.experiment.driver import Driver
from tune_flows.experiment.experiment import fold
from tune_flows.store import CheckpointStore, ObjectStore

GREEDY = Greedy.kind()


class Unhurried(SimulatedExecutor):
    """Answers only after some turns of the event loop, as one with real workers does."""

    async def next_events(self):
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().next_events()


def test_workers_are_heard_after_the_time_budget_too(tmp_path):
    shop = SimulatedExperiment(
        f"{tmp_path}/e", num_samples=None, rules=Rules(time_budget_s=20.0), executor=Unhurried
    )
    assert shop.run().ended == "time budget of 20 s spent"


class Busy:
    """Trains for ever; frees a worker when it is told to."""

    def __init__(self):
        self.told = asyncio.Event()
        self.launched = []
        self.is_down = False

    async def start(self):
        return 1

    def submit(self, command):
        if isinstance(command, LaunchSegment):
            self.launched.append(command.trial_id)
        elif isinstance(command, StopTrial):
            self.event = TrialCompleted(command.trial_id, command.lease, command.reason)
            self.told.set()

    async def next_events(self):
        await self.told.wait()
        return [self.event]

    async def shutdown(self):
        self.is_down = True


def test_the_time_budget_ends_a_run_in_which_nothing_happens(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", rules=Rules(time_budget_s=1.0))
    executor = Busy()
    experiment = shop.experiment()
    experiment.look()
    driver = Driver(
        experiment=experiment, executor=executor, checkpoints=MemoryCheckpoints(), clock=time.time
    )
    state = asyncio.run(driver.run())
    assert state.ended == "time budget of 1 s spent"
    assert executor.launched == ["trial-00000"]
    assert executor.is_down


def test_a_cluster_without_room_leaves_no_experiment_behind(tmp_path):
    class Full(SimulatedExecutor):
        async def start(self):
            raise ResourcesUnavailable("no node")

    shop = SimulatedExperiment(f"{tmp_path}/e", executor=Full)
    with pytest.raises(ResourcesUnavailable):
        shop.run()
    assert ObjectStore(shop.url).list() == []


def test_what_a_policy_broke_can_be_carried_on_once_it_is_mended(tmp_path, monkeypatch):
    shop = SimulatedExperiment(f"{tmp_path}/e", GREEDY)
    with monkeypatch.context() as broken:
        broken.setattr(Greedy, "next_decision", lambda self, trial: trial.iteration)
        with pytest.raises(PolicyError, match=r"Greedy.* expected an iteration after 0"):
            shop.run()
    assert shop.run().ended == "all trials done"


@pytest.mark.parametrize("keep", [1, 2])
def test_only_checkpoints_that_a_trial_has_are_left(tmp_path, keep):
    url = f"{tmp_path}/e"
    shop = SimulatedExperiment(
        url,
        {"type": "pbt", "perturbation_interval": 2, "seed": 2},
        rules=Rules(num_to_keep=keep),
        checkpoints=CheckpointStore(url),
    )
    state = shop.run()
    held = {checkpoint.path for trial in state.trials.values() for checkpoint in trial.checkpoints}
    stored = {"/".join(Path(key).parts[:3]) for key in ObjectStore(url).list("ckpt")}
    assert stored == held
    assert all(len(trial.checkpoints) <= keep for trial in state.trials.values())
    assert any(record.source for record in shop.records(TrialDecided))


def test_a_checkpoint_that_cannot_be_deleted_costs_space_only(tmp_path, caplog):
    class Sticky(MemoryCheckpoints):
        def delete(self, ref):
            raise StorageError(f"{ref['path']}: access denied")

    shop = SimulatedExperiment(
        f"{tmp_path}/e",
        {"type": "hyperband", "max_t": 9},
        rules=Rules(num_to_keep=1),
        checkpoints=Sticky(),
    )
    assert shop.run().ended == "all trials done"
    assert "stays: memory/trial-0000" in caplog.text


def test_a_cancelled_run_shuts_the_executor_down_and_can_be_carried_on(tmp_path):
    class Cancelled(SimulatedExecutor):
        down = 0

        async def next_events(self):
            if self.now() > 1_700_000_003:
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            return await super().next_events()

        async def shutdown(self):
            Cancelled.down += 1
            await super().shutdown()

    shop = SimulatedExperiment(f"{tmp_path}/e", executor=Cancelled)
    with pytest.raises(asyncio.CancelledError):
        shop.run()
    assert Cancelled.down == 1
    before = fold(shop.journal())
    assert 0 < sum(trial.iteration for trial in before.trials.values())
    shop.executor = SimulatedExecutor
    assert shop.run().ended == "all trials done"
    assert shop.trainable is Curve


@pytest.mark.parametrize("most", [20, 1])
def test_a_policy_that_decides_differently_today_is_named_with_the_trial(tmp_path, monkeypatch, caplog, most):
    shop = SimulatedExperiment(
        f"{tmp_path}/e",
        scheduler=GREEDY,
        num_samples=8,
        snapshot_every=1000,
    )
    assert shop.run_and_die(30, durable=True) is None
    decided = shop.records(TrialDecided)
    assert len(decided) > 1

    monkeypatch.setattr(Greedy, "on_trial_result", lambda self, trial, result: CONTINUE)
    monkeypatch.setattr("tune_flows.experiment.driver._MOST_WARNINGS", most)
    state = shop.run()

    lines = [record.getMessage() for record in caplog.records]
    named = [line for line in lines if f"scheduler {GREEDY}: journal: TrialDecided" in line]
    assert len(named) == min(most, len(decided))
    assert all(record.trial_id in line for record, line in zip(decided, named, strict=False))
    assert any("further decisions are others today" in line for line in lines) == (most < len(decided))
    assert all(state.trials[record.trial_id].iteration == record.iteration for record in decided)


def test_an_observer_that_raises_is_left_out(tmp_path, caplog):
    class Broken:
        def on_step(self, state, step):
            raise RuntimeError("no canvas")

    class Watching:
        ended = None

        def on_step(self, state, step):
            self.ended = state.ended

    watching = Watching()
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=2, observers=[Broken(), watching])
    assert shop.run().ended == watching.ended == "all trials done"
    assert caplog.text.count("RuntimeError: no canvas") == 1
    assert "Broken is left out" in caplog.text
