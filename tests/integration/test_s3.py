"""Whole runs on `s3://`, over the real protocol."""

import threading
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.observe import flow_runs, iterations, until
from tests.integration.trainables import Climber, climb
from tests.s3_server import S3Server
from tune_flows import CheckpointConfig, ExperimentFenced, tune, uniform
from tune_flows.schedulers import HyperBandScheduler
from tune_flows.store import Journal, ObjectStore

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]


def test_a_whole_run(s3_url: str, s3: S3Server, name: str, tmp_path: Path):
    def call(num_samples: int):
        return tune(
            Climber,
            {"slope": uniform(0, 1)},
            metric="score",
            num_samples=num_samples,
            scheduler=HyperBandScheduler(max_t=9, reduction_factor=3),
            checkpoint_config=CheckpointConfig(checkpoint_at_end=True, num_to_keep=1),
            storage_path=f"{s3_url}/tuning",
            name=name,
        )

    result = call(6)
    assert result.experiment_url == f"{s3_url}/tuning/{name}"
    folder = s3.folder / s3_url.removeprefix("s3://") / "tuning" / name
    assert {"experiment.json", "log", "ckpt", "results.parquet", "trials.parquet"} <= {
        path.name for path in folder.iterdir()
    }
    assert len(list(folder.glob("ckpt/*/*/MANIFEST.json"))) == 6  # dropped ones are deleted
    assert len(result.trials_dataframe()) == 6
    frame = result.dataframe()
    assert (frame["score"] - frame["config/slope"] * frame["training_iteration"]).abs().max() < 1e-9
    assert (result.restore_best_checkpoint(tmp_path / "best")).is_dir()

    assert call(6) == result
    assert len(call(8).trials_dataframe()) == 8


def test_the_older_of_two_drivers_is_fenced(
    s3_url: str, name: str, tmp_path: Path, prefect_api: SyncPrefectClient
):
    gate, url = tmp_path / "gate", f"{s3_url}/{name}"
    space = {"slope": 1.0, "steps": 6, "wait_at": 3, "gate": str(gate)}

    def take_over() -> None:
        until(lambda: iterations(url) == {"trial-00000": [1, 2]})
        Journal.open(ObjectStore(url), writer="another machine")
        gate.touch()

    other = threading.Thread(target=take_over)
    other.start()
    with pytest.raises(ExperimentFenced, match="another machine"):
        tune(climb, space, metric="score", num_samples=1, storage_path=s3_url, name=name)
    other.join()
    assert [run.state_name for run in flow_runs(prefect_api, name)] == ["Failed"]

    result = tune(climb, space, metric="score", num_samples=1, storage_path=s3_url, name=name)

    assert iterations(url) == {"trial-00000": [1, 2, 3, 4, 5, 6]}
    assert result.best_value == 6.0
