"""What others may run: a deployment with a fixed trainable, and import paths that are restricted."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import PrefectHTTPStatusError

from tests.integration.observe import flow_runs
from tests.integration.policies import StopAt
from tests.integration.presets import climbing
from tests.integration.trainables import climb
from tests.packaging.source_tree import ROOT
from tune_flows import InvalidParameter, open_experiment, tune
from tune_flows.core.allowed import ALLOWED_VARIABLE

pytestmark = pytest.mark.integration

SPACE = {"slope": 1.0, "steps": 2}


def test_a_deployment_with_a_fixed_trainable(
    prefect_api: SyncPrefectClient,
    prefect_environment: dict[str, str],
    ray_address: str,
    tmp_path: Path,
    name: str,
):
    deployment_id = climbing.to_deployment("for-others", entrypoint_type=EntrypointType.MODULE_PATH).apply()
    deployed = prefect_api.read_deployment(deployment_id)
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        prefect_api.create_flow_run_from_deployment(deployment_id, parameters={"num_samples": 0})
    given = {"storage_path": str(tmp_path), "name": name, "ray_address": ray_address}
    run = prefect_api.create_flow_run_from_deployment(deployment_id, parameters=given)

    nothing_by_path = os.environ | prefect_environment | {ALLOWED_VARIABLE: ""}
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)]
    done = subprocess.run(command, env=nothing_by_path, cwd=ROOT, capture_output=True, text=True, timeout=90)

    assert deployed.entrypoint == "tests.integration.presets.climbing"
    shown = deployed.parameter_openapi_schema
    assert shown is not None
    assert not {"trainable", "param_space", "metric"} & shown["properties"].keys()
    assert shown["properties"]["num_samples"]["default"] == 2
    ended = prefect_api.read_flow_run(run.id)
    assert ended.state is not None
    assert ended.state.name == "Completed", done.stdout + done.stderr
    assert ended.name == name
    assert len(open_experiment(f"{tmp_path}/{name}").trials) == 2


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            {"trainable": "os:system"},
            "trainable: got 'os:system', expected an import path that is allowed here",
        ),
        ({"scheduler": {"type": "tests.integration.policies:StopAt"}}, "scheduler.type: got"),
        ({"param_space": {"a": {"type": "sample_from", "function": "os:getpid"}}}, "param_space['a']: got"),
    ],
    ids=str,
)
def test_a_path_that_is_not_allowed_fails_the_run_before_anything_begins(
    prefect_api: SyncPrefectClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    bad: dict[str, Any],
    says: str,
):
    monkeypatch.setenv(ALLOWED_VARIABLE, "tests.integration.trainables:*")
    good = {"trainable": "tests.integration.trainables:climb", "param_space": SPACE, "metric": "score"}

    with pytest.raises(InvalidParameter) as refused:
        tune(**good | bad, storage_path=str(tmp_path / "storage"), name=name)

    assert str(refused.value).startswith(says)
    assert "tests.integration.trainables:*" in str(refused.value)
    (run,) = flow_runs(prefect_api, name)
    assert run.state is not None
    assert run.state.name == "Failed"
    assert not (tmp_path / "storage").exists()


def test_what_is_allowed_and_what_is_passed_as_an_object_runs(
    prefect_api: SyncPrefectClient,
    monkeypatch: pytest.MonkeyPatch,
    ray_address: str,
    tmp_path: Path,
    name: str,
):
    given: dict[str, Any] = {"param_space": SPACE, "metric": "score", "num_samples": 1}
    given["storage_path"] = str(tmp_path)

    monkeypatch.setenv(ALLOWED_VARIABLE, "tests.integration.trainables:*")
    by_path = tune("tests.integration.trainables:climb", name=name, **given)
    monkeypatch.setenv(ALLOWED_VARIABLE, "")
    by_object = tune(climb, name=f"{name}-object", scheduler=StopAt(first=2), **given)

    assert by_path.best_value == by_object.best_value == 2.0
    shown = flow_runs(prefect_api, f"{name}-object")[0].parameters
    assert shown["trainable"] == "tests.integration.trainables:climb"
    assert shown["scheduler"] == {"type": "tests.integration.policies:StopAt", "first": 2}
