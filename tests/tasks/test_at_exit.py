"""A process that cannot say at its exit what became of its runs: nothing is printed, nor waited for long."""

import os
import socket
import subprocess
import sys

import pytest

CODE = """
import atexit, sys, time
from uuid import uuid4
from prefect.settings import PREFECT_API_URL, temporary_settings
from tune_flows.tasks.at_exit import confirm_cancelled_at_exit

began = []
atexit.register(lambda: print(time.monotonic() - began[0]))
for port in sys.argv[1:]:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        for _ in range(5):
            confirm_cancelled_at_exit(uuid4(), uuid4())
atexit.register(lambda: began.append(time.monotonic()))  # the last comes first
"""


@pytest.mark.slow
def test_apis_that_are_away_or_do_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            ports = [str(server.getsockname()[1]) for server in (silent, gone)]
        ended = subprocess.run(
            [sys.executable, "-c", CODE, *ports],
            env=os.environ | {"PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert ended.stderr == ""
    assert 4 < float(ended.stdout) < 8  # both were asked, each once for all of its runs
