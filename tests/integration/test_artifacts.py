"""Artifacts of real runs, as the Prefect API gives them."""

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact

from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.integration.observe import flow_runs, iterations, log_lines, until
from tests.integration.trainables import Climber, climb
from tune_flows import TuneResult, grid_search, tune
from tune_flows.core.errors import ExperimentFenced
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.experiment.experiment import fold
from tune_flows.store import Journal, ObjectStore
from tune_flows.tasks.observers.artifacts import LiveArtifacts, artifact_key, live_artifacts

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api")]

KINDS = ("progress", "report", "trials")
WORD = "cannot be updated"


@pytest.fixture
def parameters(tmp_path: Path, name: str) -> dict[str, Any]:
    """Of `tune`: the best of three trials is the second."""
    return {
        "param_space": {"slope": grid_search([1.0, 3.0, 2.0]), "steps": 4},
        "metric": "score",
        "num_samples": 1,
        "search_alg": "grid",
        "storage_path": str(tmp_path),
        "name": name,
    }


def artifacts(api: SyncPrefectClient, name: str) -> dict[str, Artifact]:
    """Those of the newest flow run, by the last word of their keys."""
    run_ids = ArtifactFilterFlowRunId(any_=[flow_runs(api, name)[-1].id])
    found = api.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=run_ids))
    by_key = {str(artifact.key): artifact for artifact in found}
    assert len(by_key) == len(found)
    assert set(by_key) <= {artifact_key(name, kind) for kind in KINDS}
    return {key.rpartition("-")[2]: artifact for key, artifact in by_key.items()}


def rows(artifact: Artifact) -> list[tuple[Any, ...]]:
    columns = ("trial", "status", "iteration", "score", "best score", "slope")
    return [tuple(row.get(column) for column in columns) for row in json.loads(artifact.data)]


class Counted:
    """Requests of this process that write artifacts; refused while `refuses`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self.refuses = False
        self._request = SyncPrefectClient.request
        monkeypatch.setattr(SyncPrefectClient, "request", lambda *args, **kw: self.request(*args, **kw))

    def request(self, client: SyncPrefectClient, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        if path.startswith("/artifacts") and method in ("POST", "PATCH") and "filter" not in path:
            self.sent.append(method)
            if self.refuses:
                raise ConnectionError("nobody answers")
        return self._request(client, method, path, *args, **kwargs)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.mark.usefixtures("ray_address")
def test_they_show_how_the_run_ended(
    prefect_api: SyncPrefectClient, requests: Counted, parameters: dict[str, Any], name: str
):
    began = time.monotonic()
    result = tune(climb, **parameters)
    most = 2 + (time.monotonic() - began) / 5
    assert 1 <= requests.sent.count("POST") == len(KINDS)
    assert requests.sent.count("PATCH") <= len(KINDS) * most

    found = artifacts(prefect_api, name)
    assert set(found) == set(KINDS)
    assert found["progress"].data == 100
    assert "3 of 3 trials done (3 terminated), 12 iterations" in (found["progress"].description or "")
    assert rows(found["trials"]) == [
        ("trial-00001", "TERMINATED", 4, 12, 12, 3),
        ("trial-00002", "TERMINATED", 4, 8, 8, 2),
        ("trial-00000", "TERMINATED", 4, 4, 4, 1),
    ]
    assert f"{result.experiment_url}/trials.parquet" in (found["trials"].description or "")
    page = found["report"].data
    assert "| **best** | `score` = `12` (`trial-00001`), largest is best |" in page
    assert f"`{result.best_checkpoint_url}`" in page
    assert page.count("![") == 4
    assert "4 results" not in page

    # carried on: the next version of each, with what was before
    first = {artifact.id for artifact in found.values()}
    tune(climb, **parameters | {"num_samples": 2})
    found = artifacts(prefect_api, name)
    assert set(found) == set(KINDS)
    assert first.isdisjoint(artifact.id for artifact in found.values())
    assert [row[:5] for row in rows(found["trials"])][:3] == [
        ("trial-00001", "TERMINATED", 4, 12, 12),
        ("trial-00004", "TERMINATED", 4, 12, 12),
        ("trial-00002", "TERMINATED", 4, 8, 8),
    ]


@pytest.mark.usefixtures("ray_address")
def test_an_api_that_refuses_them_does_not_disturb_the_run(
    prefect_api: SyncPrefectClient, requests: Counted, parameters: dict[str, Any], name: str
):
    requests.refuses = True
    result = tune(climb, **parameters)
    assert (result.ended, result.best_value) == ("all trials done", 12)
    assert len(requests.sent) >= len(KINDS)
    assert artifacts(prefect_api, name) == {}

    def warnings() -> list[str]:
        lines = log_lines(prefect_api, flow_runs(prefect_api, name)[-1])
        return [line.message for line in lines if line.level == logging.WARNING and WORD in line.message]

    assert len(until(warnings)) == 1


@pytest.mark.usefixtures("ray_address")
def test_a_run_that_was_stopped_leaves_them_as_it_was_left(
    prefect_api: SyncPrefectClient,
    requests: Counted,
    parameters: dict[str, Any],
    name: str,
    time_is_up: Callable[[Callable[[], object]], None],
):
    url = f"{parameters['storage_path']}/{name}"
    time_is_up(lambda: iterations(url))
    space = {"slope": grid_search([1.0, 2.0]), "pause_s": 0.2}
    result: TuneResult = tune(Climber, **parameters | {"param_space": space, "max_wall_time_s": 3600})
    assert result.ended == "not ended"
    state = fold(Journal.read(ObjectStore(result.experiment_url)))
    assert state.stopped is not None

    def is_told() -> bool:
        shown = artifacts(prefect_api, name)
        last = f"stopped ({state.stopped})" in (shown["progress"].description or "")
        return last and f"| iterations | {done} |" in shown["report"].data

    done = sum(trial.iteration for trial in state.trials.values())
    assert done > 0
    until(is_told)
    found = artifacts(prefect_api, name)
    assert found["progress"].data == 0
    shown = sorted((trial, status, done) for trial, status, done, *_ in rows(found["trials"]))
    assert shown == [(t.trial_id, str(t.status), t.iteration) for t in state.trials.values()]


def test_what_could_not_be_sent_is_sent_later(
    prefect_api: SyncPrefectClient, requests: Counted, tmp_path: Path, name: str
):
    shop = SimulatedExperiment(f"{tmp_path}/e")

    @flow(flow_run_name=name)
    def run() -> None:
        with live_artifacts(artifacts_of(shop, name)):
            requests.refuses = True
            shop.run()
            until(lambda: requests.sent)
            requests.refuses = False

    run()
    found = artifacts(prefect_api, name)
    assert set(found) == set(KINDS)
    assert found["progress"].data == 100
    assert len(json.loads(found["trials"].data)) == 6


def test_a_run_that_goes_on_goes_on_with_them(
    prefect_api: SyncPrefectClient, requests: Counted, tmp_path: Path, name: str
):
    shop = SimulatedExperiment(f"{tmp_path}/e")

    @flow(flow_run_name=name)
    def run() -> None:
        for drive in (lambda: shop.run_and_die(30, durable=True), shop.run):
            with live_artifacts(artifacts_of(shop, name)):
                drive()
            until(lambda: all(thread.name != "artifacts" for thread in threading.enumerate()))

    run()
    found = artifacts(prefect_api, name)
    assert requests.sent.count("POST") == len(KINDS)
    assert found["progress"].data == 100
    # the journal had what the driver before it had heard
    values = {row[0]: row[4] for row in rows(found["trials"])}
    assert values == {
        trial.trial_id: pytest.approx(trial.metrics["score"], rel=1e-5)
        for trial in shop.run().trials.values()
    }


def test_a_run_that_was_fenced_says_so_where_it_said_something(
    prefect_api: SyncPrefectClient, requests: Counted, tmp_path: Path, name: str
):
    shop = SimulatedExperiment(f"{tmp_path}/e")

    @flow(flow_run_name=name)
    def run() -> None:
        with suppress(ExperimentFenced), live_artifacts(artifacts_of(shop, name)):
            shop.run_and_die(30, durable=True)
            until(lambda: requests.sent.count("POST") == len(KINDS))
            raise ExperimentFenced("another driver")

    def says_so() -> bool:
        shown = artifacts(prefect_api, name).values()
        return all("not ended (ExperimentFenced)" in (each.description or "") for each in shown)

    run()
    until(says_so)
    assert set(artifacts(prefect_api, name)) == set(KINDS)


def test_a_run_that_was_fenced_makes_no_new_ones(
    prefect_api: SyncPrefectClient, requests: Counted, tmp_path: Path, name: str
):
    shop = SimulatedExperiment(f"{tmp_path}/e")

    @flow(flow_run_name=name)
    def run() -> None:
        with suppress(ExperimentFenced), live_artifacts(artifacts_of(shop, name)):
            requests.refuses = True
            shop.run_and_die(30, durable=True)
            until(lambda: len(requests.sent) >= len(KINDS))  # it does not try again for some seconds
            requests.refuses = False
            raise ExperimentFenced("another driver")

    run()
    assert artifacts(prefect_api, name) == {}


def test_a_run_that_was_fenced_leaves_alone_what_another_has_written(
    prefect_api: SyncPrefectClient, requests: Counted, tmp_path: Path, name: str
):
    first, second = SimulatedExperiment(f"{tmp_path}/e"), SimulatedExperiment(f"{tmp_path}/e")

    @flow(flow_run_name=name)
    def run() -> None:
        with suppress(ExperimentFenced), live_artifacts(artifacts_of(first, name)):
            first.run_and_die(30, durable=True)
            until(lambda: requests.sent.count("POST") == len(KINDS))
            with live_artifacts(artifacts_of(second, name)):
                second.run()
            raise ExperimentFenced("another driver")

    run()
    found = artifacts(prefect_api, name)
    assert set(found) == set(KINDS)
    assert all("; ended (" in (shown.description or "") for shown in found.values())


def artifacts_of(shop: SimulatedExperiment, name: str) -> LiveArtifacts:
    """As the flow would make them, for a simulated run."""
    shown = LiveArtifacts(name, ObjectStore(shop.url), Objective("score"), ParamSpace.parse(shop.space))
    shop.observers = [shown]
    return shown
