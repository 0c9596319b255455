"""Resuming 10,000 trials of 20 results: ours beside `ray.tune.Tuner.restore`, in turns."""

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.process import rows_of, say, turns
from tests.benchmarks.table import print_table, span
from tests.s3_server import s3_server

TRIALS = 10_000
ABOUT = """\
Resume of an interrupted experiment. Expected: under 5 s, and at least 5 times faster than Ray Tune.
  tune_flows: {ours}; died while it wrote a snapshot, so that {replayed:,} objects of the
    journal are lived again: the worst moment, and the worst shape (each result in an object of its own).
    Timed: Experiment.look and claim, after which the driver goes on; random search and FIFO restored.
  Ray Tune: {theirs}.
    Timed: Tuner.restore, and .fit() until the controller holds the trials, before it starts any; Ray is up.
"""
Runs = list[dict[str, Any]]


def print_resume(repeat: int) -> None:
    """Both experiments are made once; then all sides in turns, each in a fresh process, then the table."""
    ours: Runs = []
    on_s3: Runs = []
    theirs: Runs = []
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        mine, other, bucket = Path(folder, "ours"), Path(folder, "ray"), server.make_bucket()
        for side, place in (("resume_ours", mine), ("resume_ray", other)):
            say(f"resume: {side} makes an interrupted experiment of {TRIALS:,} trials ...")
            rows_of("call", side, "make", str(TRIALS), str(place))
        _copy_what_counts(mine, server.folder / bucket / "x")
        for _ in turns(repeat, "resume"):
            ours += rows_of("call", "resume_ours", "resume", str(TRIALS), str(mine))
            theirs += rows_of("call", "resume_ray", "resume", str(TRIALS), str(other))
            url, environment = f"s3://{bucket}/x", server.environment
            on_s3 += rows_of("call", "resume_ours", "resume", str(TRIALS), url, environment=environment)
    _print(ours, on_s3, theirs)


def _print(ours: Runs, on_s3: Runs, theirs: Runs) -> None:
    print(ABOUT.format(ours=_size(ours[0]), theirs=_size(theirs[0]), replayed=ours[0]["replayed"]))
    rows = [
        _row("tune_flows: look, claim", ours),
        _row("Ray Tune: restore, fit", theirs),
        _row("Ray Tune: of that, Tuner.restore", theirs, "restore_s"),
        _row("tune_flows: with its import", ours, "seconds", "import_s"),
        _row("Ray Tune: with its import", theirs, "seconds", "import_s"),
        _row("tune_flows: look, claim, from S3 (localbucket)", on_s3),
    ]
    print_table(("local disk", "wall s", "(range)", "CPU s"), rows)
    for label, what in (("wall", "seconds"), ("CPU", "cpu_s")):
        ratios = [other[what] / own[what] for own, other in zip(ours, theirs, strict=True)]
        print(f"ratio of {label} time: {median(ratios):.1f}x  ({span(ratios, '.1f')})")


def _size(run: dict[str, Any]) -> str:
    return f"{run['trials']:,} trials, {run['results']:,} results, {run['left']} trials unfinished"


def _row(label: str, runs: Runs, *what: str) -> tuple[str, ...]:
    seconds = [sum(run[part] for part in what or ("seconds",)) for run in runs]
    cpu = "" if what else f"{median(run['cpu_s'] for run in runs):.2f}"
    return label, f"{median(seconds):.2f}", f"({span(seconds, '.2f')})", cpu


def _copy_what_counts(source: Path, target: Path) -> None:
    """Header, newest snapshot, what lies after it; the test server would take seconds to LIST the rest."""
    newest = max((source / "snap").iterdir())
    later = [entry for entry in (source / "log").iterdir() if entry.stem >= newest.stem]
    packs = [pack for pack in (source / "pack").iterdir() if pack.stem >= newest.stem]
    for file in (source / "experiment.json", newest, *later, *packs):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, copy)
