"""Events of experiments at a real server, and what an automation makes of them."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import Event

from tests.integration.observe import events, flow_runs, until
from tests.integration.trainables import climb
from tune_flows import TuneResult, tune

pytestmark = pytest.mark.integration

SCRIPT = """
import sys
from tests.integration.trainables import climb
from tune_flows import tune

folder, name, address = sys.argv[1:]
space = {"slope": 1.0, "steps": 2, "data": "s3://lake/train.parquet"}
place = {"storage_path": folder, "name": name, "ray_address": address}
result = tune(climb, space, metric="score", num_samples=2, **place)
print(result.model_dump_json())
"""


def whole_story(api: SyncPrefectClient, url: str) -> list[Event]:
    """The events about an experiment, once its end is among them."""

    def whole() -> list[Event]:
        found = events(api, {"tune-flows.experiment.url": url})
        return found if any(event.event.endswith("experiment.finished") for event in found) else []

    return until(whole)


def test_a_script_that_ends_at_once_loses_none(
    tmp_path: Path,
    name: str,
    ray_address: str,
    prefect_environment: dict[str, str],
    prefect_api: SyncPrefectClient,
):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), name, ray_address],
        env=os.environ | prefect_environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    result = TuneResult.model_validate_json(done.stdout)

    told = whole_story(prefect_api, f"{tmp_path}/{name}")
    names = Counter(event.event.removeprefix("tune-flows.") for event in told)
    assert names["experiment.started"] == names["experiment.finished"] == 1
    assert names["trial.started"] == names["trial.terminated"] == 2
    assert names["trial.checkpointed"] == 4
    assert names["experiment.best-changed"] >= 1
    (end,) = [event for event in told if event.event.endswith("experiment.finished")]
    assert TuneResult.model_validate(end.payload["result"]) == result
    (run,) = flow_runs(prefect_api, name)
    roles = {related.role: related.id for related in end.related}
    assert roles["flow-run"] == f"prefect.flow-run.{run.id}"
    assert roles["flow"] == f"prefect.flow.{run.flow_id}"
    assert roles["data"] == "s3://lake/train.parquet"


def test_a_name_is_filled_in_with_the_time_of_the_outermost_run(
    tmp_path: Path, name: str, ray_address: str, prefect_api: SyncPrefectClient
):
    @flow(flow_run_name=name)
    def nightly() -> TuneResult:
        space = {"slope": 1.0, "steps": 1}
        return tune(
            climb, space, metric="score", num_samples=1, storage_path=str(tmp_path), name="n-{datetime}"
        )

    url = nightly().experiment_url

    (run,) = flow_runs(prefect_api, name)
    assert run.expected_start_time is not None
    expected = f"n-{run.expected_start_time.astimezone(UTC):%Y-%m-%dT%H-%M-%S}"
    assert url == f"{tmp_path}/{expected}"
    assert flow_runs(prefect_api, expected)  # the run is named so, too
