"""What commits take from training at 100 results a second: the real flow on real Ray."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.process import rows_of, turns
from tests.benchmarks.table import print_table, span
from tests.s3_server import s3_server

STORAGES = ("memory", "local", "s3")
SCHEDULERS = {
    "batches": "FIFO, results come in batches",
    "each": "a say after every step, which waits for the commit",
}
ABOUT = """\
Commits at 100 results/s: 2 trials of 750 steps of 20 ms (sleeping), the real flow on real Ray.
  in commits: part of the training's wall time in which the loop waits for one. Expected with FIFO: under 2 %.
  x ideal: training of the slower trial, compared with 750 x 20 ms.
  x memory: the same, compared with the journal in memory in the same turn.
"""
TITLES = (
    *("scheduler", "journal in", "results/s", "commits/s", "ms/commit", "in commits", "(range)"),
    *("x ideal", "x memory", "(range)"),
)


def print_commit(repeat: int) -> None:
    """Each storage in each turn, then the table."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for turn in turns(repeat, "commit"):
        first = turn % len(STORAGES)  # another one in each turn: it has a new Ray to bear
        for run in _measured([*STORAGES[first:], *STORAGES[:first]]):
            runs.setdefault((run["scheduler"], run["storage"]), []).append(run)
    print(ABOUT)
    rows = [
        (SCHEDULERS[scheduler], storage, *_figures(runs[scheduler, storage], runs[scheduler, "memory"]))
        for scheduler in SCHEDULERS
        for storage in STORAGES
    ]
    print_table(TITLES, rows, texts=2)


def _measured(storages: list[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        urls = {
            "memory": "memory://bench/tuning",
            "local": str(Path(folder, "local")),
            "s3": f"s3://{server.make_bucket()}/tuning",
        }
        arguments = [f"{storage}={urls[storage]}" for storage in storages]
        return rows_of("commit_run", *arguments, environment=server.environment)


def _figures(runs: list[dict[str, Any]], in_memory: list[dict[str, Any]]) -> tuple[str, ...]:
    share = [run["commit_s"] / run["training_s"] for run in runs]
    of_memory = [run["slower_s"] / other["slower_s"] for run, other in zip(runs, in_memory, strict=True)]
    return (
        f"{median(run['results'] / run['training_s'] for run in runs):.0f}",
        f"{median(run['commits'] / run['training_s'] for run in runs):.1f}",
        f"{median(1000 * run['commit_s'] / run['commits'] for run in runs):.1f}",
        *(f"{median(share):.2%}", f"({span(share, '.2%')})"),
        f"{median(run['slower_s'] / run['ideal_s'] for run in runs):.3f}",
        *(f"{median(of_memory):.3f}", f"({span(of_memory, '.3f')})"),
    )
