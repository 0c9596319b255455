"""Each mistake is one clear error, the flow run says it, and nothing is left that blocks the name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.observe import flow_runs
from tests.integration.trainables import Climber, climb
from tune_flows import (
    ExperimentMismatch,
    InvalidParameter,
    MetricNotReported,
    ResourcesUnavailable,
    StorageError,
    TuneError,
    TuneResult,
    tune,
)

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api")]

Call = Callable[..., TuneResult]
GOOD: dict[str, Any] = {
    "trainable": climb,
    "param_space": {"slope": 1.0, "steps": 2},
    "metric": "score",
    "num_samples": 1,
}


@pytest.fixture
def call(tmp_path: Path, name: str) -> Call:
    """`tune` with good parameters but for the given ones."""

    def call(**changes: Any) -> TuneResult:
        return tune(**({**GOOD, "storage_path": str(tmp_path / "storage"), "name": name} | changes))

    return call


def refusal(error: type[TuneError], call: Call, api: SyncPrefectClient, run_name: str, **bad: Any) -> str:
    """The message with which the call fails, in Python and in the flow run."""
    with pytest.raises(error) as caught:
        call(**bad)
    message = str(caught.value)
    run = flow_runs(api, bad.get("name", run_name))[-1]
    assert run.state is not None
    assert run.state.name == "Failed"
    assert str(run.state.message).endswith(message)
    return message


WRONG = [
    ("trainable", "no_such_package:train", "no_such_package"),
    ("trainable", "tests.integration.trainables:clim", "Did you mean 'climb'?"),
    ("trainable", 42, "expected an import path"),
    ("trainable", Climber(), "Pass the class, not an instance."),
    ("trainable", dict, "Derive it from tune_flows.Trainable."),
    ("param_space", {}, "expected"),
    ("param_space", {"slope": {"type": "uniform", "lower": 1.0, "upper": 0.0}}, "slope"),
    ("param_space", {"slope": {"type": "unifrom", "lower": 0.0, "upper": 1.0}}, "uniform"),
    ("num_samples", 0, "1 or more"),
    ("search_alg", {"type": "tpe"}, "one of"),
    ("search_alg", {"type": "random", "sede": 1}, "sede"),
    ("scheduler", {"type": "ahsa"}, "Did you mean 'asha'?"),
    ("scheduler", {"type": "asha", "max_time": 3}, "max_time"),
    ("scheduler", {"type": "asha", "max_t": -1}, "max_t"),
    ("scheduler", {"max_t": 9}, "`type`"),
    ("stop", {"training_iteration": 0}, "1 or more"),
    ("time_budget_s", -1.0, "seconds above 0"),
    ("max_concurrent_trials", 0, "1 or more"),
    ("max_steps_per_task", 0, "1 or more"),
    ("max_task_runs_per_s", 0.0, "above 0"),
    ("storage_retry_s", -1.0, "0 or more"),
    ("resources_per_trial", {"cpu": -1}, "0 or more"),
    ("name", "a/b", "letters"),
    ("name", "x-{day}", "no placeholders but {date}"),
    ("storage_path", "nowhere://bucket", "protocol"),
]


@pytest.mark.parametrize(("parameter", "value", "says"), WRONG, ids=[f"{p}={v}" for p, v, _ in WRONG])
def test_a_wrong_parameter(
    call: Call,
    prefect_api: SyncPrefectClient,
    name: str,
    tmp_path: Path,
    parameter: str,
    value: Any,
    says: str,
):
    message = refusal(InvalidParameter, call, prefect_api, name, **{parameter: value})

    assert message.startswith(parameter)
    assert says in message
    assert "got" in message
    assert not (tmp_path / "storage").exists()


def test_a_metric_that_never_appears(call: Call, prefect_api: SyncPrefectClient, name: str, ray_address: str):
    unsaved = {"trainable": Climber, "stop": {"training_iteration": 2}}
    message = refusal(MetricNotReported, call, prefect_api, name, metric="acuracy", **unsaved)

    assert "metric: got 'acuracy'" in message
    assert "score" in message
    assert call().best_value == 2.0  # the name is free


def test_checkpoints_stay_though_the_metric_never_appears(
    call: Call, prefect_api: SyncPrefectClient, name: str, ray_address: str
):
    message = refusal(MetricNotReported, call, prefect_api, name, metric="acuracy")

    assert "is kept" in message
    with pytest.raises(ExperimentMismatch, match="metric: was 'acuracy', is now 'score'"):
        call()


@pytest.mark.parametrize("resources", [{"cpu": 64}, {"licence": 1}, {"gpu": 1}])
def test_a_trial_that_can_never_fit(
    call: Call,
    prefect_api: SyncPrefectClient,
    name: str,
    tmp_path: Path,
    ray_address: str,
    resources: dict[str, float],
):
    message = refusal(ResourcesUnavailable, call, prefect_api, name, resources_per_trial=resources)

    assert message.startswith("resources_per_trial: ")
    assert "no node can ever hold that" in message
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_storage_that_cannot_be_written(
    call: Call, prefect_api: SyncPrefectClient, name: str, tmp_path: Path, ray_address: str
):
    (tmp_path / "file").write_text("not a folder")

    message = refusal(StorageError, call, prefect_api, name, storage_path=str(tmp_path / "file" / "below"))

    assert str(tmp_path / "file" / "below") in message
    assert "choose another storage_path" in message
    assert call().best_value == 2.0


def test_a_bucket_that_does_not_exist(
    call: Call, prefect_api: SyncPrefectClient, name: str, s3_url: str, ray_address: str
):
    message = refusal(StorageError, call, prefect_api, name, storage_path="s3://no-such-bucket/tuning")

    assert "s3://no-such-bucket/tuning" in message
    assert "the bucket does not exist" in message
    assert call(storage_path=f"{s3_url}/tuning").best_value == 2.0


def test_fewer_samples_than_before(call: Call, prefect_api: SyncPrefectClient, name: str, ray_address: str):
    call(num_samples=2)

    message = refusal(ExperimentMismatch, call, prefect_api, name, num_samples=1)

    assert message.startswith("num_samples: ")


def test_another_ray_than_the_one_in_use(
    call: Call, prefect_api: SyncPrefectClient, name: str, ray_address: str
):
    message = refusal(ResourcesUnavailable, call, prefect_api, name, ray_address="127.0.0.1:1")

    assert f"connected to the Ray at {ray_address} already" in message
    assert call(ray_address=ray_address).best_value == 2.0


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "auto"])
def test_a_ray_that_does_not_answer(
    call: Call,
    prefect_api: SyncPrefectClient,
    name: str,
    tmp_path: Path,
    no_ray: None,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # what `auto` stands for

    message = refusal(ResourcesUnavailable, call, prefect_api, name, ray_address=address)

    assert message.startswith(f"ray_address: got '{address}', expected")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
