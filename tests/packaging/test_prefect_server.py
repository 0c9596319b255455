"""Prefect's server works with the versions that are installed.

It accepts releases of FastAPI and SQLAlchemy that break it, hence the bounds in pyproject.toml: with FastAPI
0.151 it rejects what Prefect's own client sends, with SQLAlchemy 2.1 it is healthy and never schedules a run.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

pytestmark = pytest.mark.integration

T = TypeVar("T")

DEADLINE_S = 60


@pytest.fixture
def api_url(tmp_path: Path) -> Iterator[str]:
    """A server of its own with an empty database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    settings = {
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    try:
        yield url
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


async def _until(ask: Callable[[], Awaitable[T]]) -> T:
    """The first answer that is not empty."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := await ask()):
        assert time.monotonic() < deadline, f"no answer within {DEADLINE_S} s"
        await asyncio.sleep(0.2)
    return answer


async def _scheduled_runs(api_url: str) -> list[FlowRun]:
    async with PrefectClient(api=api_url) as client:

        async def healthy() -> bool:
            return await client.api_healthcheck() is None

        await _until(healthy)
        schedule = DeploymentScheduleCreate(
            schedule=IntervalSchedule(interval=timedelta(minutes=5)), active=True
        )
        flow_id = await client.create_flow_from_name("nightly")
        await client.create_deployment(flow_id, name="every-five-minutes", schedules=[schedule])
        return await _until(client.read_flow_runs)  # bare: this is the call that FastAPI 0.151 breaks


def test_a_scheduled_run_is_created(api_url: str):
    runs = asyncio.run(_scheduled_runs(api_url))

    assert {run.state_name for run in runs} == {"Scheduled"}
