"""A session that is stopped in order and carried on comes out as one that was never stopped."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.experiment.history_digest import story_of
from tests.experiment.memory_store import MemoryFolder, checkpoints_in
from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.experiment.test_outage import PROMPT_S, Away
from tests.experiment.test_stepwise import SCHEDULERS
from tune_flows.core.errors import StorageError
from tune_flows.core.events import DriverStarted
from tune_flows.core.rules import Rules
from tune_flows.core.trial import TrialStatus
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.experiment.experiment import fold

RULES = {"plain": Rules(), "keeps one": Rules(checkpoint_at_end=True, num_to_keep=1)}


class StopAfter:
    """Stops the session after some loop iterations."""

    driver: Any = None

    def __init__(self, steps: int) -> None:
        self._left = steps

    def on_step(self, state, step):
        self._left -= 1
        if self._left == 0:
            self.driver.stop("test")


class Finishing(SimulatedExecutor):
    """Whatever happens next still happens before a stop, as with real workers that finish their step."""

    async def stop(self, grace_s):
        return [*await self.next_events(), *await super().stop(grace_s)]


def shop(kind, rules="plain", **options):
    folder = MemoryFolder()
    return SimulatedExperiment(
        scheduler=SCHEDULERS[kind],
        num_samples=5,
        slots=2,
        stop={"training_iteration": 6},
        rules=RULES[rules],
        folder=folder,
        checkpoints=checkpoints_in(folder),
        **options,
    )


def run_and_stop(shop, steps):
    """Where the experiment stands when its session ended or was stopped after `steps` loop iterations."""
    stop = StopAfter(steps)
    stopped = replace(shop, observers=[*shop.observers, stop])
    experiment = stopped.experiment()
    state = experiment.look()
    if state is not None and experiment.is_over(state):
        return state
    stop.driver = stopped.driver(experiment)
    return asyncio.run(stop.driver.run())


def check_stopped(shop, state):
    assert fold(shop.journal()) == state
    if state.ended is None:
        assert state.stopped == "test"
        assert not state.by_status()[TrialStatus.RUNNING]
        assert {state.trials[i].status for i in state.held} <= {TrialStatus.PAUSED}


@pytest.mark.parametrize("executor", [SimulatedExecutor, Finishing])
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_stop_at_any_loop_iteration(kind, rules, executor):
    whole = shop(kind, rules)
    whole.run()
    undisturbed = story_of(whole.folder)
    for steps in range(1, whole.entries(), 1 if kind == "fifo" else 4):
        stopped = shop(kind, rules, executor=executor)
        state = run_and_stop(stopped, steps)
        check_stopped(stopped, state)
        stopped.run()
        assert undisturbed.difference(story_of(stopped.folder)) is None, steps


@pytest.mark.parametrize("executor", [SimulatedExecutor, Finishing])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_stop_every_few_loop_iterations(kind, executor):
    whole = shop(kind)
    whole.run()
    stopped = shop(kind, executor=executor)
    for _ in range(100):
        state = run_and_stop(stopped, 3)
        check_stopped(stopped, state)
        if state.ended is not None:
            break
    assert len(stopped.records(DriverStarted)) > 3
    assert story_of(whole.folder).difference(story_of(stopped.folder)) is None


def test_a_stop_before_the_beginning_leaves_nothing(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    experiment = shop.experiment()
    experiment.look()
    driver = shop.driver(experiment)
    driver.stop("test")
    assert asyncio.run(driver.run()) is None
    assert shop.experiment().look() is None


def test_the_storage_does_not_answer_as_the_session_is_stopped(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    store = Away(shop.url)

    async def scene():
        experiment = shop.experiment(store)
        experiment.look()
        driver = shop.driver(experiment, shutdown_grace_s=0.1)
        run = asyncio.create_task(driver.run())
        assert await asyncio.to_thread(store.tried.acquire, timeout=PROMPT_S)
        since = time.monotonic()
        driver.stop("test")
        with pytest.raises(StorageError):
            await run
        return time.monotonic() - since

    assert asyncio.run(scene()) < PROMPT_S
    assert shop.run().ended == "all trials done"
