"""Our side of the section `resume`."""

import time
from contextlib import suppress

from tests.benchmarks.simulated import STEPS, Tally, shop
from tune_flows.store import ObjectStore


class Died(BaseException):
    """The driver's process is gone."""


class DyingAtSnapshot(ObjectStore):
    """The process dies while it writes the first snapshot after `results` results.

    There is no worse moment: everything since the snapshot before has to be lived again. Writes what a driver
    on S3 writes, packs of the log too.
    """

    read_width = 24

    def __init__(self, url, *, results, tally):
        super().__init__(url)
        self._results = results
        self._tally = tally
        self._is_dead = False

    def create(self, key, data):
        self._is_dead |= key.startswith("snap/") and self._tally.results >= self._results
        if self._is_dead:
            raise Died(key)
        return super().create(key, data)


def make(trials, url):
    """An interrupted experiment, made by the simulator; every result is a journal object of its own."""
    tally = Tally()
    job = shop(url, 2 * trials, observers=[tally])
    with suppress(Died):
        job.run(DyingAtSnapshot(url, results=trials * STEPS, tally=tally))
    return {}


def resume(trials, url):
    """Up to the point where the driver would go on: looked at, taken over, lived again."""
    experiment = shop(url, 2 * trials).experiment()
    began, cpu = time.perf_counter(), time.process_time()
    seen = experiment.look()
    journal, runner, _ = experiment.claim()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert seen is not None
    assert not runner.differences
    return {
        "trials": len(runner.state.trials),
        "results": sum(trial.iteration for trial in runner.state.trials.values()),
        "left": len(runner.state.live),
        "replayed": sum(1 for _ in journal.entries()),
        "seconds": seconds,
        "cpu_s": cpu,
    }
