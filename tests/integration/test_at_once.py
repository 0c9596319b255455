"""Several `tune` at once in one process: they share its one Ray, and none ends it under another."""

import logging
from pathlib import Path
from typing import Any

import pytest
import ray
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from rich.console import Console

from tests.integration.observe import flow_runs, records, until
from tests.integration.trainables import climb
from tune_flows import TuneResult, tune
from tune_flows.core.errors import ResourcesUnavailable
from tune_flows.core.events import TrialFaulted
from tune_flows.executors.ray.cluster import Cluster
from tune_flows.store import COMPLETION_KEY

pytestmark = pytest.mark.integration


def test_tasks_of_one_flow(tmp_path: Path, no_ray: None, prefect_api: SyncPrefectClient, name: str):
    def run(which: str, gate: str) -> TuneResult:
        space = {"slope": 1.0, "steps": 3, "wait_at": 2, "gate": str(tmp_path / gate)}
        place = {"storage_path": str(tmp_path), "name": f"{name}-{which}"}
        return tune(
            climb, space, metric="score", num_samples=1, failure_config={"max_infra_failures": 0}, **place
        )

    first_begun = tmp_path / f"{name}-first/experiment.json"
    begun, over = f"{name}-second/experiment.json", f"{name}-first/{COMPLETION_KEY}"

    @flow
    def pipeline() -> list[TuneResult]:
        first = task(run).submit("first", begun)
        until(first_begun.exists)  # so it has started Ray, and leaves it to the others
        third = task(run).submit("third", over)
        second = run("second", over)  # in the main thread
        return [first.result(), second, third.result(), run("afterwards", over)]

    logger = logging.getLogger("tune_flows")
    before = logger.propagate, Console.on_broken_pipe
    results: list[Any] = pipeline()

    assert [result.best_value for result in results] == [3.0] * 4
    for result in results:
        assert not [record for record in records(result.experiment_url) if isinstance(record, TrialFaulted)]
        (recorded,) = flow_runs(prefect_api, Path(result.experiment_url).name)
        assert recorded.state_name == "Completed"
    assert not ray.is_initialized()
    assert (logger.propagate, Console.on_broken_pipe) == before


def test_the_last_one_leaves_the_cluster_which_all_must_want(no_ray: None):
    first, second, other = Cluster(None), Cluster("auto"), Cluster("10.0.0.5:6379")
    first.connect()
    second.connect()
    with pytest.raises(ResourcesUnavailable, match="is connected to the Ray at"):
        other.connect()
    for leaving in (first, first, other):
        leaving.disconnect()
    assert second.nodes()
    second.disconnect()
    assert not ray.is_initialized()
