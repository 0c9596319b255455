"""A resume from a snapshot is a resume from the whole history, only shorter."""

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from pydantic import PrivateAttr

from tests.experiment.simulated_experiment import Greedy, SimulatedExperiment
from tests.experiment.test_stepwise import SCHEDULERS
from tune_flows.core.decisions import STOP
from tune_flows.core.events import StopRequested
from tune_flows.experiment.experiment import fold
from tune_flows.store import Journal, ObjectStore

SEARCH = {
    "random": {"type": "random", "seed": 5},
    "optuna": {"type": "optuna", "seed": 5, "n_startup_trials": 2},
}


def shop(tmp_path, kind, search="random"):
    return SimulatedExperiment(
        f"{tmp_path}/x", SCHEDULERS[kind], search_alg=SEARCH[search], snapshot_every=10
    )


def resumed(shop):
    """What a driver that takes over knows; its fence is in the log then."""
    experiment = shop.experiment()
    experiment.look()
    _, runner, _ = experiment.claim()
    return runner.snapshot().to_json()


@pytest.mark.parametrize("search", SEARCH)
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_policies_and_state_are_as_after_the_whole_history(tmp_path, kind, search):
    died = shop(tmp_path, kind, search)
    assert died.run_and_die(22, durable=True) is None
    snapshot = Journal.read(ObjectStore(died.url)).snapshot
    assert snapshot is not None
    assert 0 < len(list(Journal.read(ObjectStore(died.url)).entries())) < died.entries()
    shortened = resumed(died)
    shutil.rmtree(Path(died.url) / "snap")
    assert resumed(died) == shortened


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_resumed_run_ends_as_its_journal_says(tmp_path, kind):
    broken = shop(tmp_path, kind)
    broken.run_and_die(22, durable=True)
    broken.run_and_die(20, durable=False)
    state = broken.run()
    assert state.ended == "all trials done"
    assert fold(broken.journal()) == state
    assert fold(Journal.read(ObjectStore(broken.url))) == state


def test_snapshots_are_as_rare_as_asked_for(tmp_path):
    seldom = SimulatedExperiment(f"{tmp_path}/seldom", snapshot_every=1000)
    seldom.run()
    assert Journal.read(ObjectStore(seldom.url)).snapshot is None


class Counting(Greedy):
    """Has a state that cannot be dumped."""

    _counts: dict[int, int] = PrivateAttr(default_factory=dict)

    def on_trial_result(self, trial, result):
        self._counts[result.iteration] = np.int64(1)
        return super().on_trial_result(trial, result)


def test_a_policy_whose_state_cannot_be_dumped_runs_without_snapshots(tmp_path, caplog):
    shop = SimulatedExperiment(f"{tmp_path}/x", Counting())
    assert shop.run_and_die(22, durable=True) is None
    assert shop.run().ended == "all trials done"
    assert Journal.read(ObjectStore(shop.url)).snapshot is None
    whole = SimulatedExperiment(f"{tmp_path}/whole", Greedy()).run()
    assert [trial.metrics for trial in fold(shop.journal()).trials.values()] == [
        trial.metrics for trial in whole.trials.values()
    ]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2, "one for each session"
    assert all("Counting: _counts cannot be written as JSON" in warning for warning in warnings)


class Revised(Greedy):
    """What `Greedy` has become in the next release."""

    strict: ClassVar[bool] = False
    _seen: int = PrivateAttr(default=0)

    @classmethod
    def kind(cls):
        return Greedy.kind()

    def on_trial_result(self, trial, result):
        self._seen += 1
        decision = super().on_trial_result(trial, result)
        return STOP if self.strict and result.iteration == 2 else decision


@pytest.mark.parametrize("strict", [False, True])
def test_where_a_policy_cannot_take_its_state_the_whole_history_is_lived_again(
    tmp_path, caplog, monkeypatch, strict
):
    monkeypatch.setattr(Revised, "strict", strict)
    shop = SimulatedExperiment(f"{tmp_path}/x", Greedy(), search_alg=SEARCH["optuna"])
    assert shop.run_and_die(30, durable=True) is None
    assert Journal.read(ObjectStore(shop.url)).snapshot is not None
    told = fold(shop.journal())
    shutil.copytree(shop.url, f"{tmp_path}/y")
    shutil.rmtree(tmp_path / "y" / "snap")

    shop.scheduler = Revised()
    experiment = shop.experiment()
    experiment.look()
    _, runner, _ = experiment.claim()
    assert f"state of {Greedy.kind()}: got ['_best', '_objective'], expected" in caplog.text
    assert runner.snapshot().scheduler["_seen"] > 0
    assert bool(runner.differences) == strict, "what was decided stands, and is compared"
    assert runner.state == told

    without = SimulatedExperiment(f"{tmp_path}/y", Revised(), search_alg=SEARCH["optuna"])
    assert resumed(without) == runner.snapshot().to_json()
    assert shop.run().ended == "all trials done"


def test_a_driver_that_came_later_has_no_part_in_the_history_that_is_lived_again(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/x", Greedy())
    assert shop.run_and_die(22, durable=True) is None
    shop.scheduler = Revised()
    told, overtaken = fold(shop.journal()), shop.experiment()
    overtaken.look()
    set_up = overtaken._set_up

    def and_is_overtaken():
        set_up()
        Journal.open(ObjectStore(shop.url), writer="new").append(
            [{"type": "StopRequested", "reason": "x"}], at=1
        )

    overtaken._set_up = and_is_overtaken
    _, runner, _ = overtaken.claim()
    assert len(shop.records(StopRequested)) == 1
    assert runner.state == told
