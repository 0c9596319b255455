"""Storage by an ExperimentStorage block: who should reaches it, and its secrets reach nobody else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import ray
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Scheduled

from tests.integration.observe import flow_runs, log_lines, task_runs, until
from tests.integration.trainables import climb
from tests.s3_server import S3Server
from tests.signed_s3 import Credentials, SignedS3, signed_s3
from tune_flows import ExperimentStorage, InvalidParameter, StorageError, open_experiment, tune

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "no_credentials")]

ROOT = Path(__file__).parents[2]
RIGHT = Credentials()
WRONG = Credentials(secret="not/the-Secret+9876543210")
RUN: dict[str, Any] = {
    "param_space": {"slope": 1.0, "steps": 3},
    "metric": "score",
    "num_samples": 2,
    "checkpoint_config": {"num_to_keep": 1},
}


@pytest.fixture
def no_credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process nothing but a block says how to reach an S3."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    nowhere = {name: s3.environment[name] for name in s3.environment if "FILE" in name or "DISABLED" in name}
    for variable, value in nowhere.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def server(s3: S3Server) -> Iterator[SignedS3]:
    with signed_s3(s3.endpoint, RIGHT) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.make_bucket()


def block(server: SignedS3, bucket: str, credentials: Credentials = RIGHT) -> ExperimentStorage:
    return ExperimentStorage.model_validate(
        {
            "url": f"s3://{bucket}/tuning",
            "endpoint": server.endpoint,
            "key": credentials.key,
            "secret": credentials.secret,
            "session_token": credentials.token,
        }
    )


def start(program: str, *arguments: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """A program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


READ = """
import sys
from tune_flows import TuneResult, open_experiment
result = TuneResult.model_validate_json(sys.stdin.read())
print(len(result.dataframe()), len(result.trials_dataframe()))
print(len(list(result.restore_best_checkpoint(sys.argv[1]).iterdir())))
print(open_experiment(f"block:{sys.argv[2]}/{sys.argv[2]}").result() == result)
print(open_experiment(result.experiment_url, storage=sys.argv[2]).result() == result)
"""


def test_a_saved_block_by_reference(
    server: SignedS3,
    bucket: str,
    name: str,
    ray_address: str,
    prefect_api: SyncPrefectClient,
    prefect_environment: dict[str, str],
    tmp_path: Path,
):
    block(server, bucket).save(name)
    reference = {"$ref": {"block_document_slug": f"experiment-storage/{name}"}}

    result = tune(climb, **RUN, storage_path=reference, name=name)

    assert (result.experiment_url, result.storage_block) == (f"s3://{bucket}/tuning/{name}", name)
    assert [run.parameters["storage_path"] for run in flow_runs(prefect_api, name)] == [reference]
    assert any("/ckpt/trial-" in path for path in server.granted("PUT"))  # by the workers
    assert all(right for _, _, right in server.asked)
    assert tune(climb, **RUN, storage_path=f"block:{name}", name=name) == result

    other = start(READ, str(tmp_path / "best"), name, environment=prefect_environment)
    printed, _ = other.communicate(result.model_dump_json(), timeout=60)
    assert printed.splitlines() == ["6 2", "1", "True", "True"]


def test_an_object_that_was_never_saved(
    server: SignedS3, bucket: str, name: str, ray_address: str, prefect_api: SyncPrefectClient
):
    storage = block(server, bucket)

    result = tune(climb, **RUN, storage_path=storage, name=name)

    assert result.storage_block is None
    assert len(result.dataframe()) == 6
    assert open_experiment(result.experiment_url).best_config == result.best_config
    (run,) = flow_runs(prefect_api, name)
    assert run.parameters["storage_path"]["url"] == storage.url
    assert RIGHT.secret not in str(run.parameters)


def test_a_deployment_takes_references_only(
    server: SignedS3, bucket: str, name: str, prefect_api: SyncPrefectClient
):
    storage = block(server, bucket)
    reference = {"$ref": {"block_document_id": str(storage.save(name))}}
    parameters = {"trainable": "my.train:train", "param_space": {"slope": 1.0}, "storage_path": storage}
    deployment_id = tune.to_deployment(name, parameters=parameters).apply()
    assert prefect_api.read_deployment(deployment_id).parameters["storage_path"] == reference
    in_a_year = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=365))

    def scheduled(storage_path: Any) -> Any:
        run = prefect_api.create_flow_run_from_deployment(
            deployment_id, parameters={"storage_path": storage_path}, state=in_a_year
        )
        prefect_api.delete_flow_run(run.id)
        return run.parameters["storage_path"]

    assert scheduled(storage) == scheduled(reference) == reference
    assert scheduled(f"block:{name}") == f"block:{name}"
    for refused in (block(server, bucket), {"url": "s3://b", "secret": "x"}, "s3://AKIA:secret@bucket"):
        with pytest.raises(PrefectHTTPStatusError) as caught:
            scheduled(refused)
        assert "Validation failed for field 'storage_path" in caught.value.response.text


def test_one_clear_error_before_any_trial(
    server: SignedS3, bucket: str, name: str, prefect_api: SyncPrefectClient
):
    def refused(error: type[Exception], storage: Any) -> str:
        with pytest.raises(error) as caught:
            tune(climb, **RUN, storage_path=storage, name=name)
        return str(caught.value)

    where = f"s3://{bucket}/tuning/{name}/experiment.json (endpoint {server.endpoint})"
    denied = refused(StorageError, block(server, bucket, WRONG))
    assert denied.startswith(f"read {where}: permission denied: check the credentials")
    missing = refused(StorageError, block(server, "no-such-bucket"))
    assert f"s3://no-such-bucket/tuning/{name}/experiment.json (endpoint {server.endpoint})" in missing
    assert "the bucket does not exist" in missing
    assert "block:nobody" in refused(InvalidParameter, "block:nobody")
    assert server.granted("PUT") == []


LOUD = """
import sys
from rich import traceback
traceback.install(show_locals=True, locals_max_length=None, locals_max_string=None, max_frames=0)
from tests.integration.test_blocks import RUN
from tests.integration.trainables import climb
from tune_flows import tune
name, address = sys.argv[1:]
result = tune(climb, **RUN, storage_path=f"block:{name}", name=name, ray_address=address)
print("the best:", repr(result), result)
"""


def test_nothing_that_a_run_leaves_behind_holds_a_secret(
    server: SignedS3,
    s3: S3Server,
    bucket: str,
    name: str,
    ray_address: str,
    prefect_api: SyncPrefectClient,
    prefect_environment: dict[str, str],
):
    """At DEBUG, with local variables in tracebacks; Prefect's database is searched as the file that it is."""
    loud = {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG"} | prefect_environment
    runs = {f"{name}-wrong": WRONG, name: RIGHT}
    for run, credentials in runs.items():
        block(server, bucket, credentials).save(run)
    processes = [start(LOUD, run, ray_address, environment=loud) for run in runs]
    wrong, right = (process.communicate(timeout=120)[0] for process in processes)
    assert "permission denied" in wrong
    assert "─ locals ─" in wrong
    assert "botocore.auth" in wrong
    assert "the best: TuneResult(experiment_url=" in right
    task_runs(prefect_api, name)
    for run in runs:
        until(lambda run=run: has_its_last_line(prefect_api, run))

    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    left = {"the console": f"{wrong}{right}".encode()}
    for folder in (s3.folder / bucket, Path(prefect_environment["PREFECT_HOME"]), session / "logs"):
        for path in folder.rglob("*"):
            if path.is_file():
                with suppress(FileNotFoundError):  # it was of somebody who has just ended
                    left[str(path)] = path.read_bytes()

    assert any("prefect.db" in place for place in left)
    for secret in (RIGHT.secret, WRONG.secret, RIGHT.token):
        assert [place for place, content in left.items() if secret.encode() in content] == []


def has_its_last_line(api: SyncPrefectClient, run: str) -> bool:
    """Whether the log of the flow run has arrived to its end."""
    return any("Finished in state" in line.message for line in log_lines(api, flow_runs(api, run)[-1]))
