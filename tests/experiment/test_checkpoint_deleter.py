"""Deletions that take their time hold nothing up; what a session leaves is deleted by the next one."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.experiment.memory_store import MemoryFolder
from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.experiment.test_stop_requests import AskAfter, Unhurried
from tune_flows.core.events import CheckpointSaved
from tune_flows.core.rules import Rules
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.experiment import stop_requests
from tune_flows.experiment.driver import Driver

PROMPT_S = 20.0  # on a busy machine
WIDTH = 4


class Gated(MemoryCheckpoints):
    """Deletes nothing before the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.deleted = 0
        self.given_up: list[float] = []

    def delete(self, ref):
        assert self.gate.wait(PROMPT_S)
        super().delete(ref)
        self.deleted += 1

    def abandon_after(self, after_s=0.0):
        self.given_up.append(after_s)


def shop_of(checkpoints):
    """Each trial drops eight checkpoints."""
    return SimulatedExperiment(
        folder=MemoryFolder(),
        executor=Unhurried,
        num_samples=4,
        rules=Rules(num_to_keep=1),
        checkpoint_frequency=1,
        checkpoints=checkpoints,
    )


def drive(shop: SimulatedExperiment, checkpoints: Gated) -> Any:
    """Where the session left the experiment; the gate opens when its workers are gone."""
    experiment = shop.experiment()
    experiment.look()
    driver: Driver = shop.driver(experiment)
    shut_down = driver._executor.shutdown

    async def shutdown() -> None:
        await shut_down()
        checkpoints.gate.set()

    driver._executor.shutdown = shutdown
    return asyncio.run(asyncio.wait_for(driver.run(), PROMPT_S))


def is_tidy(shop: SimulatedExperiment, checkpoints: MemoryCheckpoints, state: Any) -> bool:
    held = {held.path for trial in state.trials.values() for held in trial.checkpoints}
    assert len(shop.records(CheckpointSaved)) > len(held) > 0
    return checkpoints._saved.keys() == held


def test_the_end_of_an_experiment_waits_for_them():
    checkpoints = Gated()
    shop = shop_of(checkpoints)
    state = drive(shop, checkpoints)
    assert state.ended == "all trials done"
    assert checkpoints.deleted == 4 * 8
    assert is_tidy(shop, checkpoints, state)


def test_the_end_of_an_experiment_waits_only_so_long(monkeypatch, caplog):
    monkeypatch.setattr("tune_flows.experiment.driver.TIDY_S", 0.0)
    checkpoints = Gated()
    shop = shop_of(checkpoints)
    state = drive(shop, checkpoints)
    assert state.ended == "all trials done"
    assert checkpoints.deleted == WIDTH
    assert f"{4 * 8 - WIDTH} checkpoints that nobody needs stay" in caplog.text
    assert checkpoints.given_up == [0.0]


def test_a_session_hears_a_request_to_stop_and_leaves_them_to_the_next_one(monkeypatch):
    monkeypatch.setattr(stop_requests, "LOOK_S", 0.001)
    checkpoints = Gated()
    shop = replace(shop_of(checkpoints), num_samples=30)
    asked = replace(shop, observers=[AskAfter(shop.objects(), 1, steps=60)])
    state = drive(asked, checkpoints)
    assert state.stopped == "ann@host asked for it"
    assert checkpoints.deleted == WIDTH
    assert checkpoints.given_up[0] > checkpoints.given_up[-1] == 0.0
    assert not is_tidy(shop, checkpoints, state)

    state = replace(shop, executor=SimulatedExecutor).run()
    assert state.ended == "all trials done"
    assert is_tidy(shop, checkpoints, state)


@pytest.mark.parametrize("kept", [None, 1])
def test_what_a_clone_had_saved_stays_where_all_checkpoints_are_kept(kept):
    shop = SimulatedExperiment(
        folder=MemoryFolder(),
        scheduler={"type": "pbt", "perturbation_interval": 2, "seed": 1, "quantile_fraction": 0.5},
        slots=6,
        rules=Rules(num_to_keep=kept),
    )
    for samples in (6, 7):
        state = replace(shop, num_samples=samples).run()
        assert state.ended == "all trials done"
        saved = {record.checkpoint.path for record in shop.records(CheckpointSaved)}
        held = {held.path for trial in state.trials.values() for held in trial.checkpoints}
        assert shop.checkpoints._saved.keys() == (saved if kept is None else held)
        assert len(saved) > len(held)
