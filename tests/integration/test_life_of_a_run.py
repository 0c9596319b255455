"""A run that was started as a script: how it ends before its experiment does, and how it goes on.

TUNE_FLOWS_OUTAGE_S says for how many seconds, at least, the Prefect server does not answer.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.flow_engine import FlowRunTimeoutError
from prefect.states import Cancelling, Paused, Running

from tests.integration.life import ENDS, STEPS, Life
from tests.integration.observe import iterations, log_lines, records, task_runs, until
from tests.integration.trainables import Gated
from tune_flows import tune
from tune_flows.core.errors import StorageError
from tune_flows.core.events import DriverStarted, DriverStopped
from tune_flows.store import RESULTS_KEY

pytestmark = pytest.mark.integration

OUTAGE_S = float(os.environ.get("TUNE_FLOWS_OUTAGE_S", "3"))


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
        life.let_step_end()
        assert process.wait(timeout=60) == -number

    life.until_state("Crashed")
    life.check_saved()
    life.check_gone(process.pid)
    life.carry_on()


def test_a_signal_to_a_run_with_a_ray_of_its_own(life: Life, no_ray: None):
    with life.script() as process:
        life.until_held()
        process.send_signal(signal.SIGTERM)
        life.let_step_end()
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
        life.let_step_end()
        process.wait(timeout=60)

    assert "carries on" in (life.until_state("Cancelled").state.message or "")
    life.check_saved()
    life.check_gone(process.pid)
    life.carry_on()


def test_killed(life: Life, ray_address: str):
    with life.script(ray_address=ray_address) as process:
        life.until_held()
        process.kill()
        process.wait()

    assert not isinstance(records(life.url)[-1], DriverStopped)
    life.check_gone(process.pid)
    life.carry_on(restored=0)


def test_the_flow_that_tunes_is_cancelled_at_the_api(life: Life, ray_address: str):
    with life.script("pipeline", ray_address=ray_address) as process:
        life.until_held()
        parent = life.parent()
        life.api.set_flow_run_state(parent.id, Cancelling())
        life.let_step_end()
        process.wait(timeout=60)

    life.until_state("Cancelled")
    assert life.api.read_flow_run(parent.id).state_name == "Cancelled"
    life.check_saved()
    life.check_gone(process.pid)
    life.carry_on()


@pytest.fixture
def tables_blocked(life: Life) -> AbstractContextManager[None]:
    """While it is open, no tables can be written: something lies in the way."""

    @contextmanager
    def blocked() -> Generator[None]:
        in_the_way = Path(life.url, RESULTS_KEY, "folder")
        in_the_way.mkdir(parents=True)
        yield
        in_the_way.rmdir()
        in_the_way.parent.rmdir()

    return blocked()


# not by an alarm: pytest would have the signal that Prefect's timeout takes
@pytest.mark.timeout(method="thread")
def test_timeout_seconds_of_the_flow_are_over(
    life: Life, ray_address: str, tables_blocked: AbstractContextManager[None]
):
    """That is the news, also when the tables cannot be written then."""

    def be_over_once_held() -> None:
        life.until_held()
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # the one that Prefect has set

    life.let_step_end()
    clock = threading.Thread(target=be_over_once_held)
    clock.start()
    with tables_blocked, pytest.raises(FlowRunTimeoutError, match=r"after 600.0 second"):
        tune.with_options(timeout_seconds=600)(**life.parameters(trainable=Gated, ray_address=ray_address))
    clock.join()

    life.until_state("TimedOut")
    life.check_saved()
    life.carry_on()


def test_paused_and_resumed(life: Life, ray_address: str):
    """Also the flow that tunes: the session goes on when both are resumed."""
    with life.script("pipeline", ray_address=ray_address) as process:
        life.until_held()
        both = life.run(), life.parent()
        for run in both:
            life.api.set_flow_run_state(run.id, Paused(timeout_seconds=300))
        life.let_step_end()
        until(lambda: isinstance(records(life.url)[-1], DriverStopped))
        life.check_saved()
        for run in both:
            life.api.set_flow_run_state(run.id, Running())
        assert process.wait(timeout=60) == 0

    assert [life.api.read_flow_run(run.id).state_name for run in both] == ["Completed"] * 2
    assert sum(isinstance(record, DriverStarted) for record in records(life.url)) == 2
    life.check_whole(life.carry_on())


def test_out_of_time(life: Life, ray_address: str):
    life.gate.touch()
    with life.script(ray_address=ray_address, max_wall_time_s=0) as process:
        assert process.wait(timeout=60) == 0

    life.until_state("Completed")
    assert not list(life.folder.glob("*.held"))
    life.carry_on(restored=0)


def test_tables_that_cannot_be_written_fail_a_run_only_at_the_end(
    life: Life,
    ray_address: str,
    tables_blocked: AbstractContextManager[None],
    time_is_up: Callable[[Callable[[], object]], None],
):
    life.gate.touch()
    call = partial(tune, **life.parameters(trainable=Gated, ray_address=ray_address))

    time_is_up(lambda: iterations(life.url))
    with tables_blocked:
        stopped = call(stop={"training_iteration": 10**9}, max_wall_time_s=3600)
        assert stopped.ended == "not ended"
        run = life.until_state("Completed")
        news = "the tables of the stopped session could not be written"
        until(lambda: any(news in line.message for line in log_lines(life.api, run)))

        with pytest.raises(StorageError, match=RESULTS_KEY):
            call()
    assert call().trials_dataframe()["status"].tolist() == ["TERMINATED"] * 2


def server_of(environment: dict[str, str]) -> int:
    """The process of the Prefect server."""
    port = str(urlsplit(environment["PREFECT_API_URL"]).port)
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
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
        frozen = time.monotonic()
        life.gate.touch()
        every = {f"trial-{i:05d}": list(range(1, STEPS + 1)) for i in range(6)}
        until(lambda: iterations(life.url) == every)
        until(lambda: time.monotonic() - frozen > OUTAGE_S, within_s=OUTAGE_S + 10)
        freeze_server(False)
        assert process.wait(timeout=90) == 0

    life.until_state("Completed")
    life.check_trials(6)
    assert {run.state_name for run in task_runs(life.api, life.name)} == {"Completed"}
