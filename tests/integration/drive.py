"""A flow process for tests: it loads everything, waits for a line on its input, and calls `tune` once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tune_flows import tune

ROOT = Path(__file__).parents[2]


@contextmanager
def flow_process(
    parameters: dict[str, Any], environment: dict[str, str], log: Path
) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs the experiment of `Counted` once `begin` is called; killed at the end.

    Args:
        parameters: Of `tune`, as JSON.
        environment: Variables beside those of this process.
        log: File for what it prints.
    """
    command = [sys.executable, "-c", f"import {__name__} as drive; drive.main()", json.dumps(parameters)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment | {"PREFECT_LOGGING_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def begin(process: "subprocess.Popen[str]") -> None:
    """Let a flow process go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def main() -> None:
    """What a flow process does."""
    sys.stdin.readline()
    tune("tests.integration.counted:Counted", **json.loads(sys.argv[1]))
