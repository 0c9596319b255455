"""The three deployments of the chain on one machine: each starts the next, with what it made."""

import os
import sys
from pathlib import Path
from typing import Any

import joblib
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    DeploymentFilter,
    DeploymentFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event

from tests.integration.deploying import running
from tests.integration.observe import events, until
from tests.packaging.source_tree import copy_sources
from tune_flows import TuneResult, open_experiment
from tune_flows.examples.digits import read_data
from tune_flows.examples.lineage import DATA_KEY, MODEL_KEY
from tune_flows.examples.pipeline import digits_pipeline

pytestmark = pytest.mark.integration

CHAIN = ("digits-prep", "digits-after-prep", "digits-final")


def runs_of(api: SyncPrefectClient, deployment: str) -> list[FlowRun]:
    return api.read_flow_runs(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment]))
    )


def ended(api: SyncPrefectClient, deployment: str) -> FlowRun:
    """The one run of a deployment, once it has ended well."""

    def over() -> FlowRun | None:
        runs = runs_of(api, deployment)
        return runs[0] if runs and runs[0].state is not None and runs[0].state.is_final() else None

    run = until(over)
    assert run.state_name == "Completed", run.state
    assert len(runs_of(api, deployment)) == 1
    return run


def told(api: SyncPrefectClient, name: str, resource_id: str) -> Event:
    """The event of that name about a resource, once it has arrived."""

    def ours() -> list[Event]:
        return [event for event in events(api, {"prefect.resource.id": resource_id}) if event.event == name]

    (event,) = until(ours)
    return event


def shorten(prefect_yaml: Path, ray_address: str) -> None:
    """Two trials of two epochs each, on a Ray that runs already."""
    content = yaml.safe_load(prefect_yaml.read_text())
    (tuning,) = [entry for entry in content["deployments"] if entry["name"] == "digits-after-prep"]
    scheduler = {"type": "asha", "max_t": 2}
    tuning["parameters"] |= {"num_samples": 2, "scheduler": scheduler, "ray_address": ray_address}
    prefect_yaml.write_text(yaml.safe_dump(content))


def test_from_the_data_to_the_model(
    tmp_path: Path, ray_address: str, prefect_environment: dict[str, str], prefect_api: SyncPrefectClient
):
    storage = tmp_path / "storage"
    checkout = copy_sources(tmp_path / "checkout")
    shorten(checkout / "prefect.yaml", ray_address)
    ours = {"TUNE_FLOWS_STORAGE": str(storage), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    environment = os.environ | prefect_environment | ours

    def all_served() -> bool:
        ready = {found.name for found in prefect_api.read_deployments() if found.status == "READY"}
        return ready.issuperset(CHAIN)

    with running(environment, checkout, sys.executable, "deployments/digits_chain.py") as log:
        until(all_served)
        prep = prefect_api.read_deployment_by_name("digits-prep/digits-prep")
        prefect_api.create_flow_run_from_deployment(prep.id)
        try:
            runs = {name: ended(prefect_api, name) for name in CHAIN}
        except AssertionError:
            print(log.read_text())
            raise

    data = f"{storage}/digits-data-0"
    assert runs["digits-after-prep"].parameters["param_space"]["data"] == data
    result = TuneResult.model_validate(runs["digits-final"].parameters["result"])
    assert result == open_experiment(result.experiment_url).result()
    assert result.trials_dataframe()["config/data"].unique().tolist() == [data]
    name = result.experiment_url.rpartition("/")[2]
    model = storage / "models" / f"{name}.joblib"
    assert model.exists()
    check_lineage(prefect_api, result, data=f"file://{data}", model=model.as_uri())


def check_lineage(api: SyncPrefectClient, result: TuneResult, *, data: str, model: str) -> None:
    """From the model by related resources back to experiment and data."""
    trained = told(api, "tune-flows.model.trained", model)
    roles: dict[str, Any] = {related.role: related.id for related in trained.related}
    assert roles["experiment"] == f"tune-flows.experiment.{result.experiment_url}"
    assert roles["data"] == data
    finished = told(api, "tune-flows.experiment.finished", roles["experiment"])
    assert data in {related.id for related in finished.related}
    assert told(api, "tune-flows.dataset.prepared", data)
    asset = told(api, "prefect.asset.materialization.succeeded", model)
    assert data in {related.id for related in asset.related}


def test_as_parts_of_one_flow_with_the_data_in_memory(
    tmp_path: Path, ray_address: str, prefect_api: SyncPrefectClient
):
    model = digits_pipeline(str(tmp_path), num_samples=2, in_memory=True)

    trials = model.result.trials_dataframe()
    assert trials["status"].tolist() == ["TERMINATED"] * 2
    assert "config/data" not in trials
    assert model.accuracy > 0.8
    classifier = joblib.load(model.url)
    test = read_data({"data": f"{tmp_path}/digits-data-0"}, "test")
    assert classifier.score(test.drop(columns="label").to_numpy(), test["label"]) == model.accuracy
    keys = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[DATA_KEY, MODEL_KEY]))
    pages = {page.key: str(page.data) for page in prefect_api.read_latest_artifacts(artifact_filter=keys)}
    assert f"{tmp_path}/digits-data-0" in pages[DATA_KEY]
    assert f"/artifacts/key/{DATA_KEY}" in pages[MODEL_KEY]
    assert model.result.experiment_url in pages[MODEL_KEY]
