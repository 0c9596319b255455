"""Deployments as users make them: a checkout, the command line, processes that serve."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFECT = [sys.executable, "-m", "prefect"]


def run(environment: dict[str, str], folder: Path, *arguments: str, fails: bool = False) -> str:
    """What a `prefect` command prints, in one line; nobody is there to answer questions."""
    done = subprocess.run(
        [*PREFECT, *arguments],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout
    return " ".join(done.stdout.split())


@contextmanager
def running(environment: dict[str, str], folder: Path, *command: str) -> Iterator[Path]:
    """A process and whatever it starts, gone at the end; the file with what they print."""
    log = folder / "process.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield log
    finally:
        groups = [process.pid, *_children(process.pid)]  # Prefect gives a flow run a process group of its own
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        process.wait()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found += map(int, thread.read_text().split())
    return found
