"""An S3 server on loopback for tests, over the real protocol: `localbucket` in a process of its own.

Anywhere in the tests: `with s3_server(folder) as server:`, or the fixtures by
`from tests.s3_server import s3, s3_url  # noqa: F401` in a conftest.py.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

DEADLINE_S = 20.0
PROGRAM = """
import localbucket as s3

# It sends head and body as two packets; with Nagle's algorithm on, each GET of up to 64 KB waits 40 ms for
# the client's delayed acknowledgement.
s3.S3Handler.disable_nagle_algorithm = True
read_body = s3.S3Handler._read_body


def read_whole_body(request):
    # It would store what has come when the client was killed as it sent; S3 stores nothing then.
    body, sent = read_body(request), request.headers
    chunks = sent.get("Transfer-Encoding") or sent.get("x-amz-content-sha256", "").startswith("STREAMING")
    if not chunks and len(body) < int(sent.get("Content-Length") or 0):
        raise s3.S3Error(400, "IncompleteBody", "The request was cut off.")
    return body


s3.S3Handler._read_body = read_whole_body
s3.main()
"""


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint: Its address, for AWS_ENDPOINT_URL.
        folder: Each bucket is a folder in it, each object a file.
    """

    endpoint: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use this server and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def make_bucket(self) -> str:
        """A new empty bucket's name."""
        bucket = f"bucket-{uuid4().hex[:12]}"
        (self.folder / bucket).mkdir()
        return bucket


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server whose data lie in `folder`; killed at the end."""
    port = _free_port()
    command = [sys.executable, "-c", PROGRAM, str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = S3Server(f"http://127.0.0.1:{port}", folder)
        _wait_until_up(server.endpoint, process)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for the whole test session."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a new bucket; the environment is set so that s3:// URLs reach the server."""
    for variable in list(os.environ):
        if variable.startswith("AWS_"):
            monkeypatch.delenv(variable)
    for variable, value in s3.environment.items():
        monkeypatch.setenv(variable, value)
    return f"s3://{s3.make_bucket()}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_until_up(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(endpoint, timeout=1):
                if process.poll() is None:  # else it is another one that has this port
                    return
                raise OSError("port taken")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"localbucket did not start at {endpoint}") from None
            time.sleep(0.02)
