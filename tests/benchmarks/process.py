"""A measurement in a process of its own: what one leaves behind in memory is no burden to the next."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def rows_of(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The JSON lines that `python -m tests.benchmarks.<module>` prints."""
    run = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"{module} {' '.join(arguments)} failed:\n{run.stderr}")
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def turns(repeat: int, section: str) -> Iterator[int]:
    """The numbers of the turns, each said when it begins."""
    for turn in range(repeat):
        say(f"{section}: turn {turn + 1} of {repeat} ...")
        yield turn


def say(what: str) -> None:
    """What goes on now, beside the table."""
    print(what, file=sys.stderr, flush=True)
