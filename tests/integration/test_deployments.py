"""prefect.yaml as users meet it: deployed from a checkout, run by a worker, served, guarded by the server."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import emit_event

from tests.integration.deploying import PREFECT, run, running
from tests.integration.observe import until
from tests.packaging.source_tree import ROOT, build, copy_sources
from tune_flows import TuneResult
from tune_flows.core.trial import TrialStatus
from tune_flows.tasks.observers.events import result_payload

pytestmark = pytest.mark.integration

SMALL = {
    "num_samples": 2,
    "param_space": {"learning_rate": {"type": "loguniform", "lower": 1e-3, "upper": 1e-2}, "hidden": 16},
    "scheduler": {"type": "asha", "max_t": 2},
}


@pytest.fixture(scope="module")
def environment(prefect_environment: dict[str, str]) -> dict[str, str]:
    return os.environ | prefect_environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"}


@pytest.fixture(scope="module")
def checkout(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, from which everything was deployed."""
    copy = copy_sources(tmp_path_factory.mktemp("checkout"))
    run(environment, copy, "work-pool", "create", "--type", "process", "tuning")
    run(environment, copy, "deploy", "--all")
    return copy


def deployment(api: SyncPrefectClient, name: str) -> DeploymentResponse:
    return api.read_deployment_by_name(f"tune/{name}")


def runs_of(api: SyncPrefectClient, name: str) -> list[FlowRun]:
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment(api, name).id]))
    return api.read_flow_runs(deployment_filter=only)


def test_a_worker_runs_the_manual_deployment(
    checkout: Path, environment: dict[str, str], prefect_api: SyncPrefectClient, tmp_path: Path
):
    small = {**SMALL, "storage_path": str(tmp_path), "name": "small"}
    given = [f"--param={key}={json.dumps(value)}" for key, value in small.items()]
    run(environment, checkout, "deployment", "run", "tune/digits-adhoc", "--flow-run-name=from-cli", *given)

    with running(environment, checkout, *PREFECT, "worker", "start", "--pool", "tuning") as log:

        def ended() -> FlowRun | None:
            named = FlowRunFilter(name={"any_": ["from-cli", "small"]})
            (found,) = prefect_api.read_flow_runs(flow_run_filter=named)
            return found if found.state is not None and found.state.is_final() else None

        flow_run = until(ended)

    assert flow_run.state is not None
    assert flow_run.state.name == "Completed", log.read_text()
    results = pd.read_parquet(tmp_path / "small" / "results.parquet")
    assert results["trial_id"].nunique() == 2
    assert results["accuracy"].between(0, 1).all()


def test_the_nights_are_scheduled(checkout: Path, prefect_api: SyncPrefectClient):
    nights = until(lambda: runs_of(prefect_api, "digits-nightly"))

    assert {run.state_name for run in nights} == {"Scheduled"}
    assert {run.expected_start_time.astimezone(UTC).hour for run in nights if run.expected_start_time} == {2}
    found = deployment(prefect_api, "digits-nightly")
    assert found.work_pool_name == "tuning"
    assert found.global_concurrency_limit is not None
    assert found.global_concurrency_limit.limit == 1
    assert found.concurrency_options is not None
    assert found.concurrency_options.collision_strategy == "CANCEL_NEW"


def test_the_command_line_says_why(checkout: Path, environment: dict[str, str]):
    bad = '--param=scheduler={"type": "asha", "max_t": -1}'

    output = run(environment, checkout, "deployment", "run", "tune/digits-adhoc", bad, fails=True)

    assert "'scheduler.max_t'" in output
    assert "-1 is less than the minimum of 1" in output


@pytest.mark.parametrize("name", ["digits-adhoc", "digits-nightly"])
def test_a_file_serves_its_deployment(
    checkout: Path, environment: dict[str, str], prefect_api: SyncPrefectClient, name: str
):
    run(environment, checkout, "deploy", "--name", name)
    deployed = deployment(prefect_api, name)
    file = checkout / "deployments" / f"{name.replace('-', '_')}.py"

    with running(environment, checkout, sys.executable, str(file)):

        def served() -> DeploymentResponse | None:
            found = deployment(prefect_api, name)
            return None if found.work_pool_name else found

        found = until(served)

    for field in ("parameters", "description", "concurrency_options", "parameter_openapi_schema"):
        assert getattr(found, field) == getattr(deployed, field), field
    assert found.entrypoint == "tune_flows.flow.tune"  # of the module, too
    assert [at.schedule for at in found.schedules] == [at.schedule for at in deployed.schedules]


def test_prefect_yaml_is_enough_beside_an_installed_wheel(
    checkout: Path, environment: dict[str, str], prefect_api: SyncPrefectClient, tmp_path: Path
):
    began = datetime.now(UTC)
    build(copy_sources(tmp_path / "tree"), tmp_path / "dist", "--wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(ROOT / "prefect.yaml", folder)

    run(environment | {"PYTHONPATH": str(tmp_path / "site")}, folder, "deploy", "--all")

    names = {entry["name"] for entry in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
    deployed = [found for found in prefect_api.read_deployments() if found.name in names]
    assert len(deployed) == len(names)
    assert all(found.updated > began for found in deployed if found.updated)


def test_the_templates_fit_their_pools(
    checkout: Path, environment: dict[str, str], prefect_api: SyncPrefectClient
):
    kinds = {
        kind: made
        for package in prefect_api.read_worker_metadata().values()
        for kind, made in package.items()
    }
    for kind in ("docker", "kubernetes", "ecs"):
        template = kinds[kind]["default_base_job_configuration"]
        prefect_api.create_work_pool(
            WorkPoolCreate(name=f"{kind}-tuning", type=kind, base_job_template=template)
        )

    run(environment, checkout, "deploy", "--all", "--prefect-file", "deployments/pools.yaml")

    for entry in yaml.safe_load((checkout / "deployments" / "pools.yaml").read_text())["deployments"]:
        found = deployment(prefect_api, entry["name"])
        pool = entry["work_pool"]
        known = kinds.get(pool["name"].removesuffix("-tuning"), kinds["process"])
        allowed = known["default_base_job_configuration"]["variables"]["properties"]
        assert found.work_pool_name == pool["name"]
        assert found.job_variables == pool["job_variables"]
        assert set(pool["job_variables"]) <= set(allowed)


def test_an_automation_starts_the_final_training(
    checkout: Path, environment: dict[str, str], prefect_api: SyncPrefectClient
):
    for _ in range(2):  # the second time it replaces what the first made
        script = str(checkout / "deployments" / "final_training_automation.py")
        subprocess.run([sys.executable, script], env=environment, check=True, timeout=60)
    (made,) = prefect_api.read_automations_by_name("digits-final/digits-final after digits-nightly")
    (deployed,) = prefect_api.read_automations_by_name("digits-final__automation_1")
    nightly = deployment(prefect_api, "digits-nightly")

    result = TuneResult(
        experiment_url="/data/digits-2026-11-23",
        metric="accuracy",
        mode="max",
        ended="all trials done",
        num_trials=dict.fromkeys(TrialStatus, 1),
        best_trial_id="trial-00001",
        best_config={"learning_rate": 1e-3, "activation": "<tanh> & 'more'", "deep": {"er": None}},
        best_metrics={"accuracy": 0.9},
    )
    emit_event(
        "tune-flows.experiment.finished",
        resource={"prefect.resource.id": f"tune-flows.experiment.{result.experiment_url}"},
        related=[
            {
                "prefect.resource.id": f"prefect.deployment.{nightly.id}",
                "prefect.resource.role": "deployment",
                "prefect.resource.name": nightly.name,
            }
        ],
        payload=result_payload(result),
    )
    final = prefect_api.read_deployment_by_name("digits-final/digits-final")
    only = DeploymentFilter(id=DeploymentFilterId(any_=[final.id]))

    def of_our_result() -> list[FlowRun]:
        runs = prefect_api.read_flow_runs(deployment_filter=only)
        return [run for run in runs if run.parameters["result"]["experiment_url"] == result.experiment_url]

    (started,) = until(of_our_result)

    assert TuneResult.model_validate(started.parameters["result"]) == result
    assert started.parameters["result"]["best_config"] == result.best_config
    assert made.actions == deployed.actions
    prefect_api.delete_automation(made.id)
    prefect_api.delete_flow_run(started.id)
