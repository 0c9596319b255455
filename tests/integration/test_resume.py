"""The same storage and name again: finished, unfinished, grown, extended, failed, changed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.observe import checkpoints, iterations, records, task_runs, until
from tests.integration.trainables import Climber, climb
from tune_flows import (
    AllTrialsFailed,
    ExperimentExists,
    ExperimentMismatch,
    ExperimentNotFound,
    TuneResult,
    tune,
    uniform,
)
from tune_flows.core.events import DriverStarted
from tune_flows.schedulers import ASHAScheduler
from tune_flows.search import RandomSearch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

Call = Callable[..., TuneResult]
BEGUN: dict[str, Any] = {
    "trainable": climb,
    "param_space": {"slope": uniform(0, 1), "steps": 3},
    "metric": "score",
    "num_samples": 2,
    "search_alg": RandomSearch(seed=1),
    "scheduler": ASHAScheduler(max_t=9, reduction_factor=3),
    "stop": {"training_iteration": 3},
}


@pytest.fixture
def call(tmp_path: Path, name: str) -> Call:
    """`tune` with the same parameters but for the given ones."""

    def call(**changes: Any) -> TuneResult:
        return tune(**({**BEGUN, "storage_path": str(tmp_path), "name": name} | changes))

    return call


def test_a_finished_experiment_is_returned_at_once(call: Call, name: str, prefect_api: SyncPrefectClient):
    first = call()
    before = records(first.experiment_url), task_runs(prefect_api, name)

    assert call() == first
    assert (records(first.experiment_url), task_runs(prefect_api, name)) == before


def test_what_a_driver_did_not_come_to_is_made_up_for(call: Call):
    first = call()
    folder = Path(first.experiment_url)
    derived = {name: (folder / name).read_bytes() for name in ("result.json", "trials.parquet")}
    orphan = folder / "ckpt" / "trial-00000" / f"1-{'0' * 32}"
    (orphan / "files").mkdir(parents=True)
    (orphan / "files" / "half").touch()
    for name in derived:
        (folder / name).unlink()

    assert call() == first

    assert {name: (folder / name).read_bytes() for name in derived} == derived
    assert not list(orphan.rglob("half"))


def test_a_retry_of_the_flow_run_carries_on_what_must_not_have_existed(call: Call, tmp_path: Path, name: str):
    hopeless = {**BEGUN, "scheduler": None, "param_space": {"slope": 1.0, "raise_at": 2}, "resume": "never"}

    with pytest.raises(AllTrialsFailed):
        tune.with_options(retries=1)(**hopeless, storage_path=str(tmp_path), name=name)

    with pytest.raises(ExperimentExists):
        call(**hopeless)


def test_more_samples_extend_it(call: Call):
    first = call()
    before = iterations(first.experiment_url)

    grown = call(num_samples=4)

    after = iterations(first.experiment_url)
    assert len(grown.trials_dataframe()) == len(after) == 4
    assert {trial_id: after[trial_id] for trial_id in before} == before


def test_other_parameters_are_refused_with_all_differences(call: Call):
    first = call()
    before = records(first.experiment_url)

    with pytest.raises(ExperimentMismatch) as caught:
        call(
            trainable=Climber,
            param_space={"slope": uniform(0, 2), "steps": 3},
            metric="begun",
            mode="min",
            search_alg=RandomSearch(seed=2),
            scheduler=ASHAScheduler(max_t=27, reduction_factor=3),
        )

    message = str(caught.value)
    assert first.experiment_url in message
    differences = [line.strip() for line in message.splitlines() if line.startswith("  ")]
    assert differences == [
        "trainable: was 'tests.integration.trainables:climb', is now 'tests.integration.trainables:Climber'",
        "param_space['slope']['upper']: was 1.0, is now 2.0",
        "metric: was 'score', is now 'begun'",
        "mode: was 'max', is now 'min'",
        "search_alg['seed']: was 1, is now 2",
        "scheduler['max_t']: was 9, is now 27",
    ]
    assert records(first.experiment_url) == before
    assert call() == first


def test_a_stop_that_is_further_away_extends_it(call: Call):
    longer = {"scheduler": None, "param_space": {"slope": uniform(0, 1), "steps": 8}}
    first = call(**longer)
    assert iterations(first.experiment_url) == {f"trial-{i:05d}": [1, 2, 3] for i in range(2)}

    extended = call(**longer, stop={"training_iteration": 7})

    assert iterations(first.experiment_url) == {f"trial-{i:05d}": [1, 2, 3, 4, 5, 6, 7] for i in range(2)}
    frame = extended.dataframe()
    assert set(frame[frame["training_iteration"] > 3]["begun"]) == {3}, "each went on from its checkpoint"


@pytest.mark.parametrize(("resume", "begun"), [("errored", 1), ("restart_errored", 0)])
def test_failed_trials_run_again(call: Call, tmp_path: Path, resume: str, begun: int):
    luck = tmp_path / "luck"
    unlucky = {"scheduler": None, "param_space": {"slope": 1.0, "steps": 3, "raise_at": 2, "once": str(luck)}}
    first = call(**unlucky)
    assert list(first.errors) == ["trial-00000"] or list(first.errors) == ["trial-00001"]
    failed = next(iter(first.errors))
    assert call(**unlucky) == first

    result = call(**unlucky, resume=resume)

    assert result.errors == {}
    frame = result.dataframe()
    assert frame.groupby("trial_id")["training_iteration"].apply(list).tolist() == [[1, 2, 3]] * 2
    last = frame[frame["training_iteration"] == 3].set_index("trial_id")["begun"]
    assert last[failed] == begun


def test_what_must_and_must_not_exist(call: Call, tmp_path: Path, name: str):
    with pytest.raises(ExperimentNotFound, match='resume: got "must"'):
        call(resume="must")
    assert not (tmp_path / name).exists()

    first = call(resume="never")

    assert call(resume="must") == first
    with pytest.raises(ExperimentExists, match='resume: got "never"'):
        call(resume="never")


DRIVER = """
import sys
from tests.integration.trainables import climb
from tune_flows import tune
from tune_flows.search import RandomSearch

storage, name, address, gate = sys.argv[1:]
space = {"slope": 1.0, "steps": 12, "wait_at": 7, "gate": gate}
tune(climb, space, metric="score", num_samples=3, search_alg=RandomSearch(seed=1), storage_path=storage,
     name=name, ray_address=address)
"""


def test_killed_in_the_middle(
    tmp_path: Path, name: str, ray_address: str, prefect_environment: dict[str, str]
):
    gate, url = tmp_path / "gate", f"{tmp_path}/{name}"
    command = [sys.executable, "-c", DRIVER, str(tmp_path), name, ray_address, str(gate)]
    driver = subprocess.Popen(
        command, env=os.environ | prefect_environment | {"PREFECT_LOGGING_LEVEL": "ERROR"}
    )
    try:
        until(lambda: Counter(each[-1] for each in checkpoints(url).values())[6] == 2)
        assert Counter(map(tuple, iterations(url).values()))[(1, 2, 3, 4, 5, 6)] == 2
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    killed_at = records(url)
    gate.touch()

    result = tune(
        climb,
        {"slope": 1.0, "steps": 12, "wait_at": 7, "gate": str(gate)},
        metric="score",
        num_samples=3,
        search_alg=RandomSearch(seed=1),
        storage_path=str(tmp_path),
        name=name,
    )

    assert records(url)[: len(killed_at)] == killed_at
    assert iterations(url) == {f"trial-{i:05d}": list(range(1, 13)) for i in range(3)}
    frame = result.dataframe()
    assert frame.groupby("trial_id")["training_iteration"].apply(list).tolist() == [list(range(1, 13))] * 3
    begun = frame[frame["training_iteration"] == 12].set_index("trial_id")["begun"]
    assert begun.to_dict() == {"trial-00000": 6, "trial-00001": 6, "trial-00002": 0}
    assert sum(isinstance(record, DriverStarted) for record in records(url)) == 2
