"""Where `tune` is called: a script, a flow, an async flow, a notebook; and how a script is interrupted."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from ray.util.client.server.server import serve

from tests.integration.observe import flow_runs, iterations, processes_of, records, task_runs, until
from tests.integration.trainables import climb
from tune_flows import TuneResult, tune

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SCRIPT = """
import ray
from tune_flows import report, tune, uniform
from tune_flows.tasks.observers import progress

progress._LOG_EVERY_S = 3600  # a slow machine does not say more

def train(config):  # in __main__: no worker can import it
    for i in range(3):
        report({"score": config["x"] * i})

if __name__ == "__main__":
    for name in "first", "second":
        result = tune(train, {"x": uniform(0, 1)}, metric="score", num_samples=3, name=name)
        print(name, result.num_trials["TERMINATED"], ray.is_initialized())
"""
HANGING = """
import sys
from tests.integration.trainables import Hanging
from tune_flows import CheckpointConfig, tune

storage, name = sys.argv[1:]
result = tune(Hanging, {"folder": storage, "gate": f"{storage}/gate"}, metric="score", num_samples=2,
              stop={"training_iteration": 4}, shutdown_grace_s=1, storage_path=storage, name=name)
print(result.ended)
"""


DROPPING = """
import threading
from contextlib import suppress
import ray
from tune_flows.executors.ray.cluster import Cluster

cluster = Cluster(None)
cluster.connect()
references = [ray.put(0) for _ in range(10_000)]
ended = threading.Event()

def drop():  # the fewer are left, the slower: it outlasts the end of Ray, however long that takes
    with suppress(IndexError):
        while True:
            references.pop()
            ended.wait(10 / (len(references) + 1))

threads = [threading.Thread(target=drop) for _ in range(4)]
for thread in threads:
    thread.start()
before = len(references)
cluster.disconnect()
print(before > len(references) > 0)  # while Ray ended, some were dropped and some were left
ended.set()
for thread in threads:
    thread.join()
print("goes on")
"""


def start(script: Path, *arguments: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """The script in a session of its own, as a terminal would start it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=clean | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_script_needs_no_server(tmp_path: Path, no_ray: None):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "TUNE_FLOWS_STORAGE": str(tmp_path / "storage"),
    }
    process = start(script, environment=environment)
    out, err = process.communicate(timeout=240)

    assert process.returncode == 0, err
    assert out.splitlines() == ["first 3 False", "second 3 False"]
    until(lambda: not processes_of(process.pid), within_s=5)
    lines = [re.sub(r"^[\d:.]+ \| ", "", line) for line in err.splitlines()]
    assert all(re.match(r"INFO +\| |See https://docs.prefect", line) for line in lines), err
    assert sum("3/3 trials done (3 terminated)" in line for line in lines) == 2
    assert sum("ended after 3 iterations" in line for line in lines) == 2 * 3
    bests = sum("best so far: score=" in line for line in lines)
    assert 2 * 2 <= bests <= 2 * 4, err  # each time it is a new one, and at the end
    assert len(lines) <= 2 + 6 + bests + 8, err  # with Prefect's own frame: no line for a step
    assert len(iterations(f"{tmp_path}/storage/second")) == 3


def test_references_that_are_dropped_while_ray_ends(tmp_path: Path, no_ray: None):
    script = tmp_path / "script.py"
    script.write_text(DROPPING)
    out, err = start(script, environment={}).communicate(timeout=120)
    assert out.splitlines() == ["True", "goes on"], err


def test_ctrl_c_and_again(
    tmp_path: Path,
    name: str,
    no_ray: None,
    prefect_environment: dict[str, str],
    prefect_api: SyncPrefectClient,
):
    script = tmp_path / "script.py"
    script.write_text(HANGING)
    url = f"{tmp_path}/{name}"
    process = start(script, str(tmp_path), name, environment=prefect_environment)
    # both trials are inside their second step, which does not end
    until(lambda: len(list(tmp_path.glob("*.second"))) == 2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    until(lambda: not processes_of(process.pid), within_s=5)
    (run,) = flow_runs(prefect_api, name)
    assert run.state is not None
    assert run.state.is_final()
    whole = records(url)
    assert (Path(url) / "trials.parquet").exists()

    (tmp_path / "gate").touch()
    again = start(script, str(tmp_path), name, environment=prefect_environment)
    out, err = again.communicate(timeout=120)
    assert out == "all trials done\n", err
    assert records(url)[: len(whole)] == whole
    assert iterations(url) == {"trial-00000": [1, 2, 3, 4], "trial-00001": [1, 2, 3, 4]}


def test_ctrl_c_while_ray_starts(
    tmp_path: Path, name: str, no_ray: None, prefect_environment: dict[str, str]
):
    script = tmp_path / "script.py"
    script.write_text(HANGING)
    process = start(script, str(tmp_path), name, environment=prefect_environment)
    until(lambda: any("gcs_server" in command for command in processes_of(process.pid)))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)

    assert process.returncode != 0
    until(lambda: not processes_of(process.pid), within_s=5)


@pytest.fixture
def small(tmp_path: Path, name: str, ray_address: str, prefect_api: SyncPrefectClient):
    """A call of `tune`."""

    def small() -> TuneResult:
        return tune(
            climb,
            {"slope": 1.0, "steps": 3},
            metric="score",
            num_samples=2,
            storage_path=str(tmp_path),
            name=name,
        )

    return small


def require_subflow(api: SyncPrefectClient, name: str, of: str) -> None:
    """The run belongs to a run of the flow `of`, its segments to itself."""
    (run,) = flow_runs(api, name)
    assert run.state_name == "Completed"
    assert run.parent_task_run_id is not None
    parent = api.read_task_run(run.parent_task_run_id)
    assert api.read_flow(api.read_flow_run(parent.flow_run_id).flow_id).name == of
    assert {segment.flow_run_id for segment in task_runs(api, name)} == {run.id}


def test_a_subflow_of_a_flow(small, prefect_api: SyncPrefectClient, name: str):
    @flow(name="pipeline")
    def pipeline() -> TuneResult:
        return small()

    assert pipeline().best_value == 3.0
    require_subflow(prefect_api, name, of="pipeline")


def test_a_subflow_of_an_async_flow(small, prefect_api: SyncPrefectClient, name: str):
    @flow(name="async-pipeline")
    async def pipeline() -> TuneResult:
        return small()

    assert asyncio.run(pipeline()).best_value == 3.0
    require_subflow(prefect_api, name, of="async-pipeline")


def test_a_notebook_cell(small, prefect_api: SyncPrefectClient, name: str):
    async def cells() -> TuneResult:  # a kernel runs cells inside its event loop
        small()
        return small()

    assert asyncio.run(cells()).best_value == 3.0
    assert [run.state_name for run in flow_runs(prefect_api, name)] == ["Completed", "Completed"]


CLIENT = """
import sys
from tests.integration.trainables import climb
from tune_flows import tune

storage, address = sys.argv[1:]
result = tune(climb, {"slope": 1.0}, metric="score", num_samples=2, storage_path=storage, ray_address=address)
print(result.best_value)
"""


def test_a_cluster_by_its_client_address(
    tmp_path: Path, ray_address: str, prefect_environment: dict[str, str]
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = tmp_path / "script.py"
    script.write_text(CLIENT)
    server = serve("127.0.0.1", port)
    try:
        process = start(script, str(tmp_path), f"ray://127.0.0.1:{port}", environment=prefect_environment)
        out, err = process.communicate(timeout=120)
    finally:
        server.stop(0)

    assert out == "10.0\n", err
