"""A run that was started as a script: how it ends before its experiment does, and how it goes on."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Cancelling, Paused, Running

from tests.integration.life import ENDS, STEPS, Life
from tests.integration.observe import iterations, records, task_runs, until
from tune_flows.core.events import DriverStopped

pytestmark = pytest.mark.integration


@pytest.fixture
def life(
    tmp_path: Path, name: str, prefect_api: SyncPrefectClient, prefect_environment: dict[str, str]
) -> Life:
    return Life(tmp_path, name, prefect_api, prefect_environment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal(life: Life, ray_address: str, number: signal.Signals):
    with life.script(ray_address=ray_address) as process:
        life.until_held()
        process.send_signal(number)
        life.open_gate_as_it_ends()
        assert process.wait(timeout=60) == -number

    life.until_state("Crashed")
    life.check_saved()
    life.check_gone(process.pid)
    life.carry_on()


def test_a_signal_to_a_run_with_a_ray_of_its_own(life: Life, no_ray: None):
    with life.script() as process:
        life.until_held()
        process.send_signal(signal.SIGTERM)
        life.open_gate_as_it_ends()
        process.wait(timeout=60)

    life.until_state("Crashed")
    life.check_saved()
    life.check_gone(process.pid)


def test_a_step_that_outlasts_the_grace_period(life: Life, ray_address: str):
    with life.script(ray_address=ray_address, shutdown_grace_s=0.5) as process:
        life.until_held()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)

    life.until_state("Crashed")
    assert isinstance(records(life.url)[-1], DriverStopped)
    life.check_gone(process.pid)
    life.carry_on(restored=0)  # there was no checkpoint


def test_a_second_signal_ends_at_once(life: Life, ray_address: str):
    with life.script(ray_address=ray_address, shutdown_grace_s=600) as process:
        life.until_held()
        process.send_signal(signal.SIGTERM)
        until(lambda: ENDS in life.log.read_text())
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

    assert not isinstance(records(life.url)[-1], DriverStopped)
    life.check_gone(process.pid)
    life.carry_on(restored=0)


def test_cancelled_at_the_api(life: Life, ray_address: str):
    with life.script(ray_address=ray_address) as process:
        life.until_held()
        life.api.set_flow_run_state(life.run().id, Cancelling())
        life.open_gate_as_it_ends()
        process.wait(timeout=60)

    assert "carries on" in (life.until_state("Cancelled").state.message or "")
    life.check_saved()
    life.check_gone(process.pid)
    life.carry_on()


def test_paused_and_resumed(life: Life, ray_address: str):
    with life.script(ray_address=ray_address) as process:
        life.until_held()
        run = life.run()
        life.api.set_flow_run_state(run.id, Paused(timeout_seconds=300))
        life.open_gate_as_it_ends()
        until(lambda: isinstance(records(life.url)[-1], DriverStopped))
        life.check_saved()
        life.api.set_flow_run_state(run.id, Running())
        assert process.wait(timeout=60) == 0

    assert life.until_state("Completed").id == run.id
    life.check_whole(life.carry_on())


def test_out_of_time(life: Life, ray_address: str):
    life.gate.touch()
    with life.script(ray_address=ray_address, max_wall_time_s=0) as process:
        assert process.wait(timeout=60) == 0

    life.until_state("Completed")
    assert not list(life.folder.glob("*.held"))
    life.carry_on(restored=0)


def server_of(environment: dict[str, str]) -> int:
    """The process of the Prefect server."""
    port = str(urlsplit(environment["PREFECT_API_URL"]).port)
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        words = command.read_text().split("\0")
        if "server" in words and port in words:
            return int(command.parent.name)
    raise AssertionError(f"no server at port {port}")


@pytest.fixture
def freeze_server(prefect_environment: dict[str, str]):
    """Whether the Prefect server answers."""
    pid = server_of(prefect_environment)
    yield lambda frozen: os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)
    os.kill(pid, signal.SIGCONT)


def test_the_server_does_not_answer(life: Life, ray_address: str, freeze_server: Callable[[bool], None]):
    with life.script(ray_address=ray_address, num_samples=6, max_steps_per_task=2) as process:
        life.until_held()
        freeze_server(True)
        life.gate.touch()
        every = {f"trial-{i:05d}": list(range(1, STEPS + 1)) for i in range(6)}
        until(lambda: iterations(life.url) == every, within_s=60)
        freeze_server(False)
        assert process.wait(timeout=90) == 0

    life.until_state("Completed")
    assert {run.state_name for run in task_runs(life.api, life.name)} == {"Completed"}
