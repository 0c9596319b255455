"""A resume from a snapshot is a resume from the whole history, only shorter."""

import shutil
from pathlib import Path

import pytest

from tests.driver.shop import Shop
from tests.driver.test_stepwise import SCHEDULERS
from tune_flows.experiment import fold
from tune_flows.store import Journal, ObjectStore

SEARCH = {
    "random": {"type": "random", "seed": 5},
    "optuna": {"type": "optuna", "seed": 5, "n_startup_trials": 2},
}


def shop(tmp_path, kind, search="random"):
    return Shop(f"{tmp_path}/x", SCHEDULERS[kind], search_alg=SEARCH[search], snapshot_every=10)


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
    seldom = Shop(f"{tmp_path}/seldom", snapshot_every=1000)
    seldom.run()
    assert Journal.read(ObjectStore(seldom.url)).snapshot is None
