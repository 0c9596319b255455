"""What durability costs, and whether it grows with the experiment: requests, bytes and CPU time."""

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.process import rows_of, say
from tests.benchmarks.table import print_table
from tests.s3_server import S3Server, s3_server

SHAPES = {"one": "one by one", "many": "20 at a time"}
SIZES = (100, 1_000, 10_000)
REPEATS = {100: 5, 1_000: 1, 10_000: 1}
"""Runs of each size, of which the median counts: CPU time of a short run varies more.

The smallest is run between all others: how fast a machine is changes by half within minutes.
"""
ABOUT = """\
Cost of experiments in the simulator: trials of 20 results, 20 slots, random search, FIFO.
  iterations: of the driver's loop; results come one by one or 20 at a time. other: GETs, LISTs and DELETEs.
  CPU: of the driver, all threads, the client of S3 included, without the simulator and the S3 server.
    kernel: the part of it that is the system's, locally mostly flushing files to the disk.
  x: compared with 100 trials, run just before and just after. Expected: 0.80 to 1.20.
"""
TITLES = (
    *("", "results come", "trials", "results", "iterations", "PUTs/it.", "x", "other/it."),
    *("log B/it.", "pack B/it.", "snapshot B/it.", "B/it.", "x", "B/result"),
    *("CPU us/result", "x", "kernel", "x without it"),
)


class Series(NamedTuple):
    """The same experiment at several sizes."""

    storage: str
    shape: str
    sizes: tuple[int, ...]


SERIES = (
    Series("local", "one", SIZES),
    Series("local", "many", SIZES),
    Series("S3", "one", SIZES[:2]),  # 200,000 PUTs over the real protocol take a quarter of an hour
    Series("S3", "many", SIZES),
)


class Figures(NamedTuple):
    """What one size costs."""

    results: float
    iterations: float
    puts: float
    others: float
    log: float
    packs: float
    snapshots: float
    per_result: float
    cpu: float
    kernel: float

    @property
    def written(self) -> float:
        """Bytes per loop iteration."""
        return self.log + self.packs + self.snapshots


def print_cost() -> None:
    """Each size of each series, then the table."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server:
        for series in SERIES:
            measured = partial(_measured, series, folder=Path(folder), server=server)
            least, *others = series.sizes
            before = measured(least)
            rows.append(_row(series, least, _medians(before), _medians(before)))
            for trials in others:
                found, after = measured(trials), measured(least)
                rows.append(_row(series, trials, _medians(found), _medians([*before, *after])))
                before = after
    print(ABOUT)
    print_table(TITLES, rows, texts=2)


def _measured(series: Series, trials: int, *, folder: Path, server: S3Server) -> list[Figures]:
    """Those of each repeat."""
    say(f"cost: {series.storage}, results {SHAPES[series.shape]}, {trials:,} trials ...")
    is_local = series.storage == "local"
    place = folder / ("local" if is_local else server.make_bucket())
    url = str(place) if is_local else f"s3://{place.name}"
    urls = [f"{url}/{number}" for number in range(REPEATS[trials])]
    runs = rows_of("simulated", series.shape, str(trials), *urls, environment=server.environment)
    shutil.rmtree(place)
    return [_figures(run) for run in runs]


def _medians(runs: Sequence[Figures]) -> Figures:
    """By figure."""
    return Figures(*(statistics.median(values) for values in zip(*runs, strict=True)))


def _figures(run: dict[str, Any]) -> Figures:
    iterations, results = run["iterations"], run["results"]
    return Figures(
        results,
        iterations,
        puts=run["puts"] / iterations,
        others=run["others"] / iterations,
        log=run["log_bytes"] / iterations,
        packs=run["pack_bytes"] / iterations,
        snapshots=run["snapshot_bytes"] / iterations,
        per_result=(run["log_bytes"] + run["pack_bytes"] + run["snapshot_bytes"]) / results,
        cpu=1e6 * (run["user_s"] + run["kernel_s"]) / results,
        kernel=1e6 * run["kernel_s"] / results,
    )


def _row(series: Series, trials: int, it: Figures, first: Figures) -> tuple[str, ...]:
    def times(now: float, then: float) -> str:
        return f"{now / then:.2f}"

    return (
        *(series.storage, SHAPES[series.shape], f"{trials:,}", f"{it.results:,.0f}", f"{it.iterations:,.0f}"),
        *(f"{it.puts:.3f}", times(it.puts, first.puts), f"{it.others:.3f}"),
        *(f"{it.log:,.0f}", f"{it.packs:,.0f}", f"{it.snapshots:,.0f}", f"{it.written:,.0f}"),
        times(it.written, first.written),
        *(f"{it.per_result:,.0f}", f"{it.cpu:,.0f}", times(it.cpu, first.cpu)),
        *(f"{it.kernel:,.0f}", times(it.cpu - it.kernel, first.cpu - first.kernel)),
    )
