"""The run form of a deployment: what the server takes and refuses, and the form itself in a browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, sync_playwright
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled

from tests.integration.observe import until
from tests.packaging.source_tree import ROOT
from tests.parameters.form_cases import BAD, GOOD
from tune_flows import tune

pytestmark = pytest.mark.integration

NEEDED: dict[str, Any] = {
    "trainable": "tests.integration.trainables:climb",
    "param_space": {"slope": {"type": "uniform", "lower": 0, "upper": 1}, "steps": 6},
}


@pytest.fixture(scope="module")
def deployed(prefect_api: SyncPrefectClient) -> UUID:
    """A deployment of `tune` that nobody runs."""
    made = tune.to_deployment("checked", parameters=NEEDED, entrypoint_type=EntrypointType.MODULE_PATH)
    return made.apply()


def runs_of(api: SyncPrefectClient, deployment_id: UUID) -> list[FlowRun]:
    only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    return api.read_flow_runs(deployment_filter=only)


def test_the_server_has_the_schema(prefect_api: SyncPrefectClient, deployed: UUID):
    found = prefect_api.read_deployment(deployed)

    assert found.parameter_openapi_schema == tune.parameters.model_dump_for_openapi()
    assert found.enforce_parameter_schema
    assert found.description is not None
    assert "Args:" not in found.description


@pytest.mark.parametrize("parameters", GOOD, ids=str)
def test_the_server_takes_good_parameters(
    prefect_api: SyncPrefectClient, deployed: UUID, parameters: dict[str, Any]
):
    in_a_year = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=365))
    created = prefect_api.create_flow_run_from_deployment(deployed, parameters=parameters, state=in_a_year)

    assert created.parameters == NEEDED | parameters
    prefect_api.delete_flow_run(created.id)


@pytest.mark.parametrize(("parameters", "where", "why"), BAD, ids=[str(case[0]) for case in BAD])
def test_the_server_refuses_bad_parameters(
    prefect_api: SyncPrefectClient, deployed: UUID, parameters: dict[str, Any], where: str, why: str
):
    with pytest.raises(PrefectHTTPStatusError) as refused:
        prefect_api.create_flow_run_from_deployment(deployed, parameters=parameters)

    detail = refused.value.response.json()["detail"]
    assert f"Validation failed for field '{where}'" in detail
    assert why in detail
    assert runs_of(prefect_api, deployed) == []


def test_run_deployment_refuses_too(prefect_api: SyncPrefectClient, deployed: UUID):
    with pytest.raises(PrefectHTTPStatusError, match="should not be valid under"):
        run_deployment("tune/checked", parameters={"num_samples": 0}, timeout=0)
    assert runs_of(prefect_api, deployed) == []


SERVE = """
import json, sys
from prefect.deployments.runner import EntrypointType
from tune_flows import tune
tune.serve("served", parameters=json.loads(sys.argv[1]), entrypoint_type=EntrypointType.MODULE_PATH)
"""


@pytest.fixture
def served(
    prefect_api: SyncPrefectClient, prefect_environment: dict[str, str], ray_address: str, tmp_path: Path
) -> Iterator[DeploymentResponse]:
    """A deployment that a process on this machine serves."""
    given = {**NEEDED, "metric": "score", "storage_path": str(tmp_path), "ray_address": ray_address}
    environment = os.environ | prefect_environment | {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, json.dumps(given)], env=environment, cwd=ROOT, start_new_session=True
    )

    def found() -> DeploymentResponse | None:
        with suppress(ObjectNotFound):
            return prefect_api.read_deployment_by_name("tune/served")
        return None

    try:
        yield until(found)  # pyright: ignore[reportReturnType]
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a browser."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "no chromium on PATH: install it, on Debian the package `chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def test_a_run_is_started_from_the_form(
    prefect_api: SyncPrefectClient,
    prefect_environment: dict[str, str],
    served: DeploymentResponse,
    page: Page,
):
    ui = prefect_environment["PREFECT_API_URL"].removesuffix("/api") + "/v2"
    page.goto(f"{ui}/deployments/deployment/{served.id}/run")
    page.get_by_role("tab", name="Optuna").click()
    page.get_by_role("tab", name="ASHA").click()
    page.get_by_label("max_t (Optional)").fill("4")
    page.get_by_label("num_samples (Optional)").fill("0")
    page.get_by_role("button", name="Submit").click()
    refusal = page.get_by_text("0 should not be valid under {'const': 0}", exact=True)
    refusal.wait_for()
    assert runs_of(prefect_api, served.id) == []

    page.get_by_label("num_samples (Optional)").fill("3")
    refusal.wait_for(state="hidden")  # until then the form submits nothing
    with page.expect_response("**/create_flow_run") as answer:
        page.get_by_role("button", name="Submit").click()
    assert answer.value.ok, answer.value.text()
    (run,) = runs_of(prefect_api, served.id)
    page.goto(f"{ui}/runs/flow-run/{run.id}")
    page.get_by_text("Completed", exact=True).first.wait_for(timeout=90_000)

    ended = prefect_api.read_flow_run(run.id)
    assert ended.state is not None
    assert ended.state.name == "Completed"
    chosen = ended.parameters
    assert chosen["num_samples"] == 3
    assert (chosen["search_alg"]["type"], chosen["search_alg"]["sampler"]) == ("optuna", "tpe")
    assert (chosen["scheduler"]["type"], chosen["scheduler"]["max_t"]) == ("asha", 4)
    assert chosen["checkpoint_config"]["checkpoint_at_end"] is False
    assert page.get_by_text("Completed", exact=True).first.is_visible()
