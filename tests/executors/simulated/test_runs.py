"""Whole experiments on the simulated executor: however the work is cut, the decisions are the same."""

import asyncio
import random

import pytest

from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.decisions import (
    FaultJudged,
    TrialContinued,
    TrialDecided,
    TrialLaunched,
    TrialOverruled,
)
from tune_flows.core.errors import InfrastructureError
from tune_flows.core.events import CapacityChanged, DriverStarted, Event, ExperimentExtended
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace, uniform
from tune_flows.core.trial import Action, TrialStatus
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.runner.runner import Rules, TrialRunner
from tune_flows.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from tune_flows.search.random import RandomSearch
from tune_flows.trainable import Checkpoint, Trainable, get_checkpoint, report


class Curve(Trainable):
    """Climbs towards its own height."""

    def setup(self, config):
        self.done = 0

    def step(self):
        self.done += 1
        return {"score": self.config["x"] * self.done}

    def save_checkpoint(self, checkpoint_dir):
        return {"done": self.done}

    def load_checkpoint(self, checkpoint):
        self.done = checkpoint["done"]


def curve(config):
    restored = get_checkpoint()
    done = restored.to_dict()["done"] if restored else 0
    while True:
        done += 1
        report({"score": config["x"] * done}, checkpoint=Checkpoint.from_dict({"done": done}))


class Stepwise(ASHAScheduler):
    """Wants a say at every step."""

    type: str = "stepwise"

    def next_decision(self, trial):
        return trial.iteration + 1


SCHEDULERS = {
    "fifo": FIFOScheduler(),
    "asha": ASHAScheduler(max_t=12, reduction_factor=3),
    "hyperband": HyperBandScheduler(max_t=9),
    "pbt": PopulationBasedTraining(
        perturbation_interval=3, hyperparam_mutations={"x": uniform(0, 1)}, seed=1
    ),
    "stepwise": Stepwise(max_t=12, reduction_factor=3),
}


def faults():
    """Every fifth trial loses its worker once, on the way to its second result."""
    left = {f"trial-{number:05d}" for number in range(0, 100, 5)}

    def fault(trial_id, lease, iteration):
        if iteration != 2 or trial_id not in left:
            return None
        left.remove(trial_id)
        return InfrastructureError("node gone")

    return fault


def decisions(
    scheduler: TrialScheduler,
    *,
    trainable: object = Curve,
    steps: int | None = None,
    batch: int = 1,
    trials: int = 20,
    faulty: bool = False,
) -> tuple[list[object], dict[str, object]]:
    """Everything that was decided, but for how work was cut, and the final trials."""
    space = ParamSpace.parse({"x": uniform(0, 1)})
    objective = Objective("score", "max")
    search, scheduler = RandomSearch(seed=3), scheduler.fresh()
    search.setup(space=space, objective=objective, seed=0)
    scheduler.setup(space=space, objective=objective, seed=0)
    runner = TrialRunner(
        search_alg=search,
        scheduler=scheduler,
        objective=objective,
        rules=Rules(max_steps_per_task=steps),
    )
    executor = SimulatedExecutor(
        trainable,
        slots=4,
        step_time_s=lambda config, iteration: random.Random(config["x"] * iteration).choice([0.5, 1, 2]),
        stop={"training_iteration": 12},
        batch_steps=batch,
        fault=faults() if faulty else None,
    )

    decided: list[object] = []

    async def run() -> None:
        events: list[Event] = [DriverStarted(1, 0.0), ExperimentExtended(trials)]
        events.append(CapacityChanged(await executor.start()))
        while runner.state.ended is None:
            step = runner.step(events, executor.now())
            decided.extend(record for record in step.records if type(record).__module__.endswith("decisions"))
            for command in step.commands:
                if not isinstance(command, DeleteCheckpoint):
                    executor.submit(command)
            if runner.state.ended is None:
                events = await executor.next_events()
        await executor.shutdown()

    asyncio.run(run())
    launches = [
        (r.trial_id, r.lease) if isinstance(r, TrialLaunched) else r
        for r in decided
        if not isinstance(r, TrialContinued)
    ]
    trials_ = {
        t.trial_id: (t.status, t.iteration, t.config, t.last_result, t.reason, t.lease)
        for t in runner.state.trials.values()
    }
    return launches, trials_


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("faulty", [False, True])
def test_free_running_and_one_step_at_a_time_decide_the_same(name, faulty):
    free = decisions(SCHEDULERS[name], faulty=faulty)

    assert len(free[1]) == 20
    assert {status for status, *_ in free[1].values()} == {TrialStatus.TERMINATED}
    assert any(isinstance(record, FaultJudged) for record in free[0]) is faulty
    assert decisions(SCHEDULERS[name], faulty=faulty, steps=1) == free
    assert decisions(SCHEDULERS[name], faulty=faulty, steps=2) == free


def test_the_schedulers_walk_every_path():
    decided = {name: decisions(scheduler)[0] for name, scheduler in SCHEDULERS.items()}
    actions = {
        name: {r.action for r in records if isinstance(r, TrialDecided | TrialOverruled)}
        for name, records in decided.items()
    }

    assert actions["fifo"] == set()
    assert actions["asha"] == {Action.STOP}
    assert actions["hyperband"] == {Action.PAUSE, Action.STOP}
    assert any(isinstance(record, TrialDecided) and record.source for record in decided["pbt"])


def test_where_only_decision_points_matter_batches_change_nothing():
    scheduler = SCHEDULERS["asha"]

    assert decisions(scheduler, batch=5) == decisions(scheduler, steps=1)


@pytest.mark.parametrize("name", ["asha", "hyperband", "pbt"])
def test_a_function_decides_as_the_class_does(name):
    assert decisions(SCHEDULERS[name], trainable=curve, trials=8) == decisions(SCHEDULERS[name], trials=8)
