"""Real services for the tests of this folder, each started once: a Prefect server, an S3 server, a Ray."""

import asyncio
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from tests.integration.observe import until
from tests.s3_server import S3Server, s3, s3_url  # noqa: F401
from tune_flows.tasks.watch import StopReason, Watch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that want no Ray come first: so the one that all others share is started once."""
    items.sort(key=lambda item: "no_ray" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server with an empty database: the variables by which a process uses it."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, os.environ | environment, home / "server.log") as server:
        with SyncPrefectClient(api=environment["PREFECT_API_URL"]) as client:

            def is_up() -> bool:
                assert server.poll() is None, (home / "server.log").read_text()
                return client.api_healthcheck() is None

            until(is_up)
        yield environment


@pytest.fixture(scope="session")
def prefect_api(prefect_environment: dict[str, str]) -> Iterator[SyncPrefectClient]:
    """This process uses the Prefect server; a client to look at what it recorded."""
    settings = {
        PREFECT_API_URL: prefect_environment["PREFECT_API_URL"],
        PREFECT_HOME: Path(prefect_environment["PREFECT_HOME"]),
    }
    with temporary_settings(settings), SyncPrefectClient(api=settings[PREFECT_API_URL]) as client:
        yield client
        # Prefect sends logs and events from threads of its own: to this server, while it is there.
        APILogWorker.drain_all(timeout=10)
        EventsWorker.drain_all(timeout=10)


@pytest.fixture(scope="session")
def _ray_starter(s3: S3Server) -> Iterator[Callable[[], str]]:  # noqa: F811
    def start() -> str:
        if not ray.is_initialized():
            with pytest.MonkeyPatch.context() as patch:
                for name, value in {**s3.environment, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}.items():
                    patch.setenv(name, value)
                ray.init(
                    address="local",
                    num_cpus=2,
                    resources={"license": 1},
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        return ray.get_runtime_context().gcs_address

    yield start
    ray.shutdown()


@pytest.fixture
def ray_address(_ray_starter: Callable[[], str]) -> str:
    """A Ray with two CPUs and one `license`, to which this process is connected; its address."""
    return _ray_starter()


@pytest.fixture
def no_ray() -> None:
    """No Ray runs, so that the test may start one of its own."""
    ray.shutdown()


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def time_is_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Lets `max_wall_time_s` be over as soon as something is true, on slow machines too."""

    def once(true: Callable[[], object]) -> None:
        async def at_clock(watch: Watch) -> None:
            if watch._deadline is not None:
                while not await asyncio.to_thread(true):
                    await asyncio.sleep(0.05)
                watch._found(StopReason.OUT_OF_TIME, "max_wall_time_s is over")

        monkeypatch.setattr(Watch, "_at_clock", at_clock)

    return once


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for the experiment of this test, and so for its flow runs."""
    return re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")
