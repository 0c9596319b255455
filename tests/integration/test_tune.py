"""Whole runs with real workers and a real Prefect API."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.observe import (
    flow_runs,
    is_alive,
    iterations,
    opened_once_journalled,
    records,
    states,
    task_runs,
    until,
)
from tests.integration.policies import Broken, StopAt
from tests.integration.trainables import Climber, climb, crowd, frame_sum, raise_unpicklable
from tune_flows import (
    AllTrialsFailed,
    CheckpointConfig,
    FailureConfig,
    InvalidParameter,
    PolicyError,
    TuneResult,
    grid_search,
    loguniform,
    randint,
    tune,
    uniform,
    with_parameters,
)
from tune_flows.core.decisions import TrialDecided
from tune_flows.core.events import CheckpointSaved, FaultKind, TrialFaulted, TrialPaused
from tune_flows.schedulers import ASHAScheduler, HyperBandScheduler, PopulationBasedTraining
from tune_flows.search import OptunaSearch, RandomSearch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

Run = Callable[..., TuneResult]


@pytest.fixture
def run(tmp_path: Path, name: str) -> Run:
    """`tune` with storage and name of this test."""

    def run(trainable: object, param_space: dict[str, Any], **options: Any) -> TuneResult:
        defaults = {"metric": "score", "storage_path": str(tmp_path / "storage"), "name": name}
        return tune(trainable, param_space, **(defaults | options))

    return run


@pytest.mark.parametrize("trainable", [climb, Climber, "tests.integration.trainables:Climber"])
def test_result_and_tables(run: Run, tmp_path: Path, trainable: object):
    result = run(
        trainable,
        {"slope": uniform(0.5, 1), "steps": 3},
        num_samples=3,
        search_alg=RandomSearch(points_to_evaluate=[{"slope": 1.0}]),
        stop={"training_iteration": 3},
        checkpoint_config=CheckpointConfig(checkpoint_at_end=trainable is not climb),
    )

    assert result.best_trial_id == "trial-00000"
    assert result.best_config == {"slope": 1.0, "steps": 3}
    assert result.best_value == 3.0
    assert result.best_metrics is not None
    assert result.best_metrics["training_iteration"] == 3
    assert result.errors == {}
    assert TuneResult.model_validate_json(result.model_dump_json()) == result
    folder = result.restore_best_checkpoint(tmp_path / "best")
    assert "3" in (folder / "checkpoint.tune_flows.json").read_text() or trainable is not climb

    frame = result.dataframe()
    assert frame.groupby("trial_id")["training_iteration"].apply(list).tolist() == [[1, 2, 3]] * 3
    assert {name: str(frame[name].dtype) for name in frame} == {
        "trial_id": "str",
        "training_iteration": "int64",
        "score": "float64",
        **({"begun": "int64"} if trainable is climb else {"lineage": "str"}),
        "pid": "int64",
        "iterations_since_restore": "int64",
        "time_this_iter_s": "float64",
        "time_total_s": "float64",
        "timestamp": "float64",
        "done": "bool",
        "config/slope": "float64",
        "config/steps": "int64",
    }
    trials = result.trials_dataframe()
    assert set(trials["status"]) == {"TERMINATED"}
    assert set(trials["reason"]) == {"stop: training_iteration >= 3"}


def test_asha_stops_trials_at_rungs(run: Run):
    result = run(
        Climber,
        {"slope": grid_search([9.0, 1.0, 2.0, 8.0, 3.0, 4.0])},
        num_samples=1,
        search_alg="grid",
        scheduler=ASHAScheduler(max_t=9, reduction_factor=3),
    )

    last = result.trials_dataframe().set_index("config/slope")["training_iteration"]
    assert set(last) <= {1, 3, 9}
    assert last[9.0] == 9
    assert (last == 1).any()


def test_hyperband_pauses_and_resumes_with_the_state(run: Run):
    result = run(
        Climber,
        {"slope": uniform(0, 1)},
        num_samples=9,
        scheduler=HyperBandScheduler(max_t=9, reduction_factor=3),
    )

    frame = result.dataframe()
    pauses = [record for record in records(result.experiment_url) if isinstance(record, TrialPaused)]
    assert pauses
    assert frame["training_iteration"].max() == 9
    assert (frame["score"] - frame["config/slope"] * frame["training_iteration"]).abs().max() < 1e-9
    assert (frame["lineage"].str.count(">") >= 1).any()  # a checkpoint was loaded


def test_pbt_goes_on_from_the_checkpoint_of_a_better_trial(run: Run):
    result = run(
        Climber,
        {"slope": uniform(0, 1)},
        num_samples=4,
        search_alg=RandomSearch(seed=3),
        scheduler=PopulationBasedTraining(perturbation_interval=2, seed=1),
        stop={"training_iteration": 12},
    )

    rows = result.dataframe().set_index(["trial_id", "training_iteration"])
    newest: dict[str, int] = {}
    clones = 0
    for record in records(result.experiment_url):
        if isinstance(record, CheckpointSaved):
            newest[record.trial_id] = record.checkpoint.iteration
        elif isinstance(record, TrialDecided) and record.source is not None and record.config is not None:
            following = (record.trial_id, record.iteration + 1)
            source = rows.loc[(record.source, newest[record.source])]
            if following not in rows.index:
                continue
            assert rows.loc[following, "score"] == pytest.approx(source["score"] + record.config["slope"])
            assert f"{record.source}>" in rows.loc[following, "lineage"]
            clones += 1
    assert clones
    assert iterations(result.experiment_url) == {f"trial-{i:05d}": list(range(1, 13)) for i in range(4)}


def test_optuna(run: Run):
    result = run(
        climb,
        {"slope": loguniform(1e-3, 1), "steps": randint(1, 4)},
        num_samples=5,
        search_alg=OptunaSearch(seed=7),
        max_concurrent_trials=2,
    )

    trials = result.trials_dataframe()
    assert len(trials) == 5
    assert trials["config/slope"].between(1e-3, 1).all()
    assert trials["training_iteration"].tolist() == trials["config/steps"].tolist()


class Counted:
    """Counts how often it is pickled."""

    pickled = 0

    def __init__(self, word: str) -> None:
        self.word = word

    def __getstate__(self) -> dict[str, Any]:
        Counted.pickled += 1
        return self.__dict__


def test_objects_of_with_parameters_are_placed_once(run: Run):
    data = pd.DataFrame({"x": range(1_000_000)}, dtype="float64")
    counted = Counted("hello")

    result = run(with_parameters(frame_sum, data=data, counted=counted), {"i": randint(0, 9)}, num_samples=6)

    trials = result.trials_dataframe()
    assert Counted.pickled == 1
    assert set(trials["score"]) == {data["x"].sum()}
    assert set(trials["counted"]) == {"hello"}
    assert not trials["copied"].any()  # workers share the object store's memory
    assert trials["object"].nunique() <= 2  # one for each process


def test_a_process_serves_one_trial_after_another(run: Run):
    result = run(Climber, {"slope": uniform(0, 1)}, num_samples=6, stop={"training_iteration": 2})

    pids = result.trials_dataframe()["pid"]
    assert pids.nunique() <= 2
    assert os.getpid() not in set(pids)
    until(lambda: not any(map(is_alive, pids)))


def test_a_new_process_for_each_trial(run: Run):
    result = run(
        Climber, {"slope": uniform(0, 1)}, num_samples=3, stop={"training_iteration": 2}, reuse_actors=False
    )

    pids = result.trials_dataframe()["pid"]
    assert pids.nunique() == 3
    until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(
    ("resources", "most", "expected"),
    [
        (None, None, 2),
        (None, 1, 1),
        ({"cpu": 0.5}, None, 4),
        ({"cpu": 0.5, "license": 1}, None, 1),
        ({"cpu": 2}, None, 1),
    ],
)
def test_never_more_trials_than_fit(
    run: Run, tmp_path: Path, resources: dict[str, float] | None, most: int | None, expected: int
):
    (tmp_path / "crowd").mkdir()
    result = run(
        crowd,
        {"folder": str(tmp_path / "crowd"), "expected": expected},
        num_samples=expected + 2,
        resources_per_trial=resources,
        max_concurrent_trials=most,
    )

    assert result.dataframe()["score"].max() == expected


@pytest.mark.parametrize(
    "scheduler", [ASHAScheduler(max_t=9, reduction_factor=3, brackets=2, seed=5), StopAt(first=2), None]
)
def test_every_step_as_a_task_decides_the_same(run: Run, scheduler: object):
    def decided(name: str, **options: Any) -> pd.DataFrame:
        result = run(
            climb,
            {"slope": uniform(0, 1)},
            num_samples=5,
            search_alg=RandomSearch(seed=2),
            scheduler=scheduler,
            max_concurrent_trials=1,
            name=f"{name}-{type(scheduler).__name__}",
            **options,
        )
        return result.dataframe()[["trial_id", "training_iteration", "score", "config/slope"]]

    pd.testing.assert_frame_equal(decided("free"), decided("single", max_steps_per_task=1))


def test_a_scheduler_by_import_path(run: Run):
    result = run(
        climb,
        {"slope": 1.0},
        num_samples=3,
        scheduler={"type": "tests.integration.policies:StopAt", "first": 4},
    )

    assert result.trials_dataframe()["training_iteration"].tolist() == [4, 5, 6]


def test_results_come_while_training_goes_on(run: Run, tmp_path: Path, name: str):
    with opened_once_journalled(tmp_path / "gate", f"{tmp_path}/storage/{name}", [1, 2]) as gate:
        result = run(climb, {"slope": 1.0, "steps": 4, "wait_at": 3, "gate": gate}, num_samples=1)

    assert result.best_value == 4.0
    assert iterations(result.experiment_url) == {"trial-00000": [1, 2, 3, 4]}


def test_segments_are_task_runs_of_the_flow_run(run: Run, name: str, prefect_api: SyncPrefectClient):
    run(climb, {"slope": 1.0, "steps": 10}, num_samples=1)

    (flow_run,) = flow_runs(prefect_api, name)
    (task_run,) = task_runs(prefect_api, name)
    assert flow_run.state_name == "Completed"
    assert task_run.flow_run_id == flow_run.id
    assert task_run.name == "trial-00000 [0 to end]"
    assert task_run.tags == ["trial-00000"]
    assert task_run.state is not None
    assert task_run.state.message == "trial-00000 [0 to 10]"


def test_many_tiny_trials_are_few_task_runs(run: Run, name: str, prefect_api: SyncPrefectClient):
    result = run(climb, {"slope": uniform(0, 1), "steps": 1}, num_samples=150, max_task_runs_per_s=1.0)

    assert len(result.dataframe()) == 150
    (flow_run,) = flow_runs(prefect_api, name)
    assert len(task_runs(prefect_api, name)) <= 2 + flow_run.total_run_time.total_seconds() * 1.0


def test_a_trial_that_raises_is_retried_from_its_checkpoint(
    run: Run, tmp_path: Path, name: str, prefect_api: SyncPrefectClient
):
    result = run(
        climb,
        {"slope": 1.0, "steps": 6, "raise_at": 5, "once": str(tmp_path / "once")},
        num_samples=1,
        failure_config=FailureConfig(max_failures=1),
    )

    frame = result.dataframe()
    assert frame["training_iteration"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["begun"].tolist() == [0, 0, 0, 0, 4, 4]
    assert frame["pid"].nunique() == 2
    assert result.errors == {}
    (task_run,) = task_runs(prefect_api, name)
    assert task_run.run_count == 2
    told = [(state.name, state.message) for state in states(prefect_api, task_run)]
    assert [name for name, _ in told] == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]
    assert {message for _, message in told[2:4]} == {"trial-00000: ValueError: no luck at 5"}


def test_a_retry_without_delay(run: Run, tmp_path: Path, name: str, prefect_api: SyncPrefectClient):
    run(
        climb,
        {"slope": 1.0, "steps": 2, "raise_at": 1, "once": str(tmp_path / "once")},
        num_samples=1,
        failure_config=FailureConfig(max_failures=1, retry_delay_s=0),
    )

    (task_run,) = task_runs(prefect_api, name)
    told = [(state.name, state.message) for state in states(prefect_api, task_run)]
    assert told[2] == ("Retrying", "trial-00000: ValueError: no luck at 1")
    assert [name for name, _ in told] == ["Pending", "Running", "Retrying", "Completed"]


def test_a_trial_over_its_budget_fails_and_others_go_on(run: Run, name: str, prefect_api: SyncPrefectClient):
    result = run(
        climb,
        {"slope": 1.0, "steps": 3, "raise_at": grid_search([2, 9])},
        search_alg="grid",
        num_samples=1,
        failure_config=FailureConfig(max_failures=1),
    )

    assert result.errors == {"trial-00000": "ValueError: no luck at 2"}
    trials = result.trials_dataframe().set_index("trial_id")
    assert trials["status"].to_dict() == {"trial-00000": "ERRORED", "trial-00001": "TERMINATED"}
    assert trials.loc["trial-00000", "failures"] == 2
    assert "raise ValueError" in trials.loc["trial-00000", "error"]
    failed = [run for run in task_runs(prefect_api, name) if run.state_name == "Failed"]
    assert len(failed) == 1
    assert failed[0].run_count == 2
    assert "trial-00000: ValueError: no luck at 2" in failed[0].state.message


def test_an_exception_that_cannot_be_pickled(run: Run):
    with pytest.raises(AllTrialsFailed, match="trial-00000: Unpicklable: holds a lock"):
        run(raise_unpicklable, {"x": 1}, num_samples=1)


def test_a_lost_worker_is_replaced(run: Run, tmp_path: Path, name: str):
    with opened_once_journalled(tmp_path / "gate", f"{tmp_path}/storage/{name}", [1, 2, 3]) as gate:
        result = run(
            climb,
            {"slope": 1.0, "steps": 6, "wait_at": 4, "gate": gate, "exit": True, "once": f"{gate}.once"},
            num_samples=1,
        )

    frame = result.dataframe()
    assert frame["training_iteration"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["begun"].tolist() == [0, 0, 0, 3, 3, 3]
    assert frame["pid"].nunique() == 2
    faults = [record for record in records(result.experiment_url) if isinstance(record, TrialFaulted)]
    assert [fault.kind for fault in faults] == [FaultKind.INFRASTRUCTURE]
    assert result.errors == {}


def test_a_policy_that_raises_leaves_nothing_running(run: Run, name: str, prefect_api: SyncPrefectClient):
    with pytest.raises(PolicyError, match="a bug in a policy"):
        run(climb, {"slope": 1.0}, num_samples=2, scheduler=Broken())

    (flow_run,) = flow_runs(prefect_api, name)
    assert flow_run.state_name == "Failed"
    assert "a bug in a policy" in flow_run.state.message
    assert all(task_run.state.is_final() for task_run in task_runs(prefect_api, name))


def test_a_time_budget_ends_trials_between_two_steps(
    run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    def clock(*_: float) -> Callable[[], float]:
        return lambda: time.time() + (1000.0 if len(iterations(f"{tmp_path}/storage/{name}")) == 2 else 0.0)

    monkeypatch.setattr("tune_flows.flow.session_clock", clock)
    result = run(
        Climber,
        {"slope": 1.0, "pause_s": 0.05},
        num_samples=2,
        time_budget_s=600,
        checkpoint_config=CheckpointConfig(checkpoint_at_end=True),
    )

    assert result.ended == "time budget of 600 s spent"
    done = iterations(result.experiment_url)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in done.values())
    assert result.best_checkpoint is not None
    assert result.best_checkpoint.iteration == len(done[str(result.best_trial_id)])


def test_a_trainable_that_cannot_be_sent_to_workers(run: Run):
    lock = threading.Lock()

    def train(config: dict[str, Any]) -> None:
        lock.acquire()

    with pytest.raises(
        InvalidParameter, match=r"trainable: got .*, expected something that pickle can carry"
    ):
        run(train, {"slope": 1.0})
    with pytest.raises(InvalidParameter, match=r"data=.*expected something that pickle"):
        run(with_parameters(frame_sum, data=lock, counted=None), {"slope": 1.0})

    assert run(climb, {"slope": 1.0}, num_samples=1).best_value == 10.0
