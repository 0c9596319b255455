"""prefect.yaml as users meet it: deployed from a checkout, run by a worker, served, guarded by the server."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Scheduled

from tests.integration.observe import until
from tests.packaging.source_tree import ROOT, source_files

pytestmark = pytest.mark.integration

PREFECT = [sys.executable, "-m", "prefect"]
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
    copy = tmp_path_factory.mktemp("checkout")
    for path in source_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    run(environment, copy, "work-pool", "create", "--type", "process", "tuning")
    run(environment, copy, "deploy", "--all")
    return copy


def run(environment: dict[str, str], folder: Path, *arguments: str, fails: bool = False) -> str:
    """What a `prefect` command prints, in one line; nobody is there to answer questions."""
    done = subprocess.run(
        [*PREFECT, *arguments],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout
    return " ".join(done.stdout.split())


@contextmanager
def running(environment: dict[str, str], folder: Path, *command: str) -> Iterator[Path]:
    """A process and whatever it starts, gone at the end; the file with what they print."""
    log = folder / "process.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield log
    finally:
        groups = [process.pid, *_children(process.pid)]  # Prefect gives a flow run a process group of its own
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        process.wait()


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


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

        flow_run = until(ended, within_s=60)

    assert flow_run.state is not None
    assert flow_run.state.name == "Completed", log.read_text()
    results = pd.read_parquet(tmp_path / "small" / "results.parquet")
    assert results["trial_id"].nunique() == 2
    assert results["accuracy"].between(0, 1).all()


def test_the_nights_are_scheduled(checkout: Path, prefect_api: SyncPrefectClient):
    nights = until(lambda: runs_of(prefect_api, "digits-nightly"), within_s=30)

    assert {run.state_name for run in nights} == {"Scheduled"}
    assert {run.expected_start_time.astimezone(UTC).hour for run in nights if run.expected_start_time} == {2}
    found = deployment(prefect_api, "digits-nightly")
    assert found.work_pool_name == "tuning"
    assert found.global_concurrency_limit is not None
    assert found.global_concurrency_limit.limit == 1
    assert found.concurrency_options is not None
    assert found.concurrency_options.collision_strategy == "CANCEL_NEW"


UNIFORM = {"type": "uniform", "lower": 0, "upper": 1}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"scheduler": {"type": "fifo"}},
        {"scheduler": {"type": "asha", "max_t": 9, "grace_period": 3}},
        {"scheduler": {"type": "hyperband"}},
        {"scheduler": {"type": "pbt", "hyperparam_mutations": {"learning_rate": UNIFORM}}},
        {"scheduler": {"type": "my_project.policies:Patient", "patience": 3}},
        {"search_alg": {"type": "random", "points_to_evaluate": [{"hidden": 16, "deep": {"er": None}}]}},
        {"search_alg": {"type": "grid", "shuffle_seed": None}},
        {"search_alg": {"type": "optuna", "seed": 7}},
        {"search_alg": {"type": "my_project.policies:Lucky"}},
        {"checkpoint_config": {"checkpoint_at_end": True}, "failure_config": {"max_failures": 2}},
        {"stop": None, "name": None, "time_budget_s": 60, "resources_per_trial": {"cpu": 0.5}},
    ],
    ids=str,
)
def test_the_server_takes_good_parameters(
    checkout: Path, prefect_api: SyncPrefectClient, parameters: dict[str, Any]
):
    in_a_year = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=365))
    created = prefect_api.create_flow_run_from_deployment(
        deployment(prefect_api, "digits-adhoc").id, parameters=parameters, state=in_a_year
    )

    assert created.parameters.items() >= parameters.items()
    prefect_api.delete_flow_run(created.id)


BAD = [
    ({"scheduler": {"type": "ahsa"}}, "'scheduler.type'", "'ahsa' does not match '^(fifo|asha|"),
    ({"scheduler": {"max_t": 9}}, "'scheduler'", "'type' is a required property"),
    ({"scheduler": {"type": "asha", "max_t": -1}}, "'scheduler.max_t'", "-1 is less than the minimum of 1"),
    ({"scheduler": {"type": "asha", "max_time": 9}}, "'scheduler'", "('max_time' was unexpected)"),
    ({"search_alg": {"type": "tpe"}}, "'search_alg.type'", "'tpe' does not match '^(random|grid|optuna|"),
    ({"search_alg": {"seed": 7}}, "'search_alg'", "'type' is a required property"),
    ({"search_alg": {"type": "optuna", "seed": -1}}, "'search_alg.seed'", "-1 is less than the minimum of 0"),
    (
        {"scheduler": {"type": "pbt", "hyperparam_mutations": {"lr": {"type": "uniform", "lower": 0}}}},
        "'scheduler.hyperparam_mutations.lr'",
        "'upper' is a required property",
    ),
    ({"checkpoint_config": {"num_to_keep": 0}}, "'checkpoint_config", "0 is less than the minimum of 1"),
    ({"mode": "maximum"}, "'mode'", "'maximum' is not one of ['min', 'max']"),
]


@pytest.mark.parametrize(("parameters", "where", "why"), BAD, ids=str)
def test_the_server_refuses_bad_parameters(
    checkout: Path, prefect_api: SyncPrefectClient, parameters: dict[str, Any], where: str, why: str
):
    before = runs_of(prefect_api, "digits-adhoc")

    with pytest.raises(PrefectHTTPStatusError) as refused:
        prefect_api.create_flow_run_from_deployment(
            deployment(prefect_api, "digits-adhoc").id, parameters=parameters
        )

    detail = refused.value.response.json()["detail"]
    assert f"Validation failed for field {where}" in detail
    assert why in detail
    assert runs_of(prefect_api, "digits-adhoc") == before


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

        found = until(served, within_s=30)

    for field in ("parameters", "description", "concurrency_options", "parameter_openapi_schema"):
        assert getattr(found, field) == getattr(deployed, field), field
    assert found.entrypoint == "tune_flows.flow.tune"  # of the module, too
    assert [at.schedule for at in found.schedules] == [at.schedule for at in deployed.schedules]
