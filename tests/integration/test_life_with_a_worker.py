"""A run that a worker started: cancelled, suspended, and what becomes of it when the worker ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Suspended

from tests.integration.life import ROOT, Life
from tests.integration.observe import is_alive, records, until
from tune_flows.core.events import DriverStopped

pytestmark = pytest.mark.integration


@pytest.fixture
def life(
    tmp_path: Path, name: str, prefect_api: SyncPrefectClient, prefect_environment: dict[str, str]
) -> Life:
    return Life(tmp_path, name, prefect_api, prefect_environment)


@contextmanager
def worker_of(life: Life, pool: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker of a work pool, started as by a supervisor of services."""
    settings = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    with life.log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", "--pool", pool],
            env=os.environ | life.environment | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def worker(life: Life, ray_address: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that runs the flow run; it begins after Ray, which puts its token into the environment."""
    life.api.create_work_pool(WorkPoolCreate(name=life.name, type="process"))
    with worker_of(life, life.name) as process:
        yield process


def begin(life: Life, name: str, call: str, module: str, ray_address: str) -> FlowRun:
    """A flow run of a deployment of the flow `call`, the trials in the step that waits."""
    deployment = life.api.create_deployment(
        flow_id=life.api.create_flow_from_name(call),
        name=life.name,
        work_pool_name=life.name,
        entrypoint=f"{module}:{call}",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
    )
    run = life.api.create_flow_run_from_deployment(
        deployment, name=name, parameters=life.arguments(call, ray_address=ray_address)
    )
    life.until_held()
    return run


@pytest.fixture
def begun(life: Life, worker: "subprocess.Popen[bytes]", ray_address: str) -> FlowRun:
    """The flow run, its trials in the step that waits."""
    return begin(life, life.name, "tune", "tune_flows.flow", ray_address)


def flow_process(run: FlowRun) -> int:
    """The process that a worker started for a flow run."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            runs_flows = "prefect.engine" in (process / "cmdline").read_text()
            if runs_flows and f"PREFECT__FLOW_RUN_ID={run.id}" in (process / "environ").read_text():
                return int(process.name)
    raise AssertionError(f"no process of {run.id}")


def until_gone(pid: int) -> None:
    until(lambda: not is_alive(pid), within_s=40)


def test_cancelled(life: Life, begun: FlowRun):
    pid = flow_process(begun)
    life.api.set_flow_run_state(begun.id, Cancelling())
    life.let_step_end()
    until_gone(pid)

    life.until_state("Cancelled")
    life.check_saved()
    life.carry_on()


@pytest.mark.usefixtures("worker")
def test_the_flow_that_tunes_is_cancelled(life: Life, ray_address: str):
    parent = begin(life, f"{life.name}-whole", "pipeline", "tests.integration.life", ray_address)
    assert life.parent().id == parent.id
    pid = flow_process(parent)
    life.api.set_flow_run_state(parent.id, Cancelling())
    life.let_step_end()
    until_gone(pid)

    until(lambda: life.api.read_flow_run(parent.id).state_name == "Cancelled")
    life.until_state("Cancelled")
    life.check_saved()
    life.carry_on()


def test_suspended_and_resumed(life: Life, begun: FlowRun):
    pid = flow_process(begun)
    life.api.set_flow_run_state(begun.id, Suspended(timeout_seconds=300))
    life.let_step_end()
    until_gone(pid)
    assert life.run().state_name == "Suspended"
    life.check_saved()

    life.api.resume_flow_run(begun.id)
    assert life.until_state("Completed").id == begun.id
    life.check_whole(life.carry_on())


def kill_worker(worker: "subprocess.Popen[bytes]", pid: int) -> None:
    worker.kill()


def evict(worker: "subprocess.Popen[bytes]", pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("end", "message"), [(kill_worker, "had started this run is gone"), (evict, "termination signal")]
)
def test_the_worker_is_killed_or_the_run_evicted(
    life: Life,
    begun: FlowRun,
    worker: "subprocess.Popen[bytes]",
    end: Callable[["subprocess.Popen[bytes]", int], None],
    message: str,
):
    pid = flow_process(begun)
    end(worker, pid)
    life.let_step_end()
    until_gone(pid)

    assert message in (life.until_state("Crashed").state.message or "")
    life.check_saved()
    life.carry_on()


def test_a_worker_that_is_stopped_takes_its_runs_with_it(
    life: Life, begun: FlowRun, worker: "subprocess.Popen[bytes]"
):
    pid = flow_process(begun)
    worker.terminate()
    until_gone(pid)

    assert "was killed" in (life.until_state("Crashed").state.message or "")
    assert not isinstance(records(life.url)[-1], DriverStopped)
    life.check_gone()
    life.carry_on(restored=0)
