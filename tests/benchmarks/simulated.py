"""Experiments in virtual time, and what they cost: prints one JSON line for each of them.

    python -m tests.benchmarks.simulated SHAPE TRIALS URL ...

Rules of this module:

- The CPU time is the driver's: that of the process, all threads, without what the simulator's own calls take
  (the trainable, its host, the event heap). The S3 server is another process.
- Everything else is as in a run: a journal object for each loop iteration, snapshots at the default cadence.
"""

import asyncio
import json
import resource
import sys
import time

from tests.benchmarks.counting import CountingStore
from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.core.events import ResultsReported
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.experiment.driver import Driver
from tune_flows.trainable import Trainable

STEPS = 20
SLOTS = 20
WARM_UP_TRIALS = 30


class Ramp(Trainable):
    """As little training as there can be."""

    def setup(self, config):
        self.slope = config["x"]

    def step(self):
        return {"score": self.slope * self.iteration}


class Apart(SimulatedExecutor):
    """Knows its own CPU time. Steps take different times, so each result comes alone."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.cpu_s = 0.0

    def submit(self, command):
        began = time.thread_time()
        super().submit(command)
        self.cpu_s += time.thread_time() - began

    async def next_events(self):
        began = time.thread_time()
        events = await super().next_events()
        self.cpu_s += time.thread_time() - began
        return events


class Together(Apart):
    """All steps take the same time, so one loop iteration carries a result of every slot."""

    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "step_time_s": 1.0})


class Tally:
    """An observer that counts."""

    def __init__(self):
        self.iterations = self.results = 0

    def on_step(self, state, step):
        self.iterations += 1
        self.results += sum(len(r.results) for r in step.records if isinstance(r, ResultsReported))


SHAPES = {"one": Apart, "many": Together}


def shop(url, trials, executor=Apart, observers=()):
    """An experiment of `trials` trials of 20 results."""
    return SimulatedExperiment(
        url,
        num_samples=trials,
        slots=SLOTS,
        stop={"training_iteration": STEPS},
        trainable=Ramp,
        executor=executor,
        observers=list(observers),
        space={"x": {"type": "uniform", "lower": 0, "upper": 1}, "layers": 2},
        snapshot_every=Driver.__init__.__kwdefaults__["snapshot_every"],
    )


def run(shape, trials, url):
    store, tally = CountingStore(url), Tally()
    job = shop(url, trials, SHAPES[shape], [tally])
    experiment = job.experiment(store)
    experiment.look()
    driver = job.driver(experiment)
    executor = driver._executor
    for counts in (store.puts, store.put_bytes, store.others):
        counts.clear()
    before = resource.getrusage(resource.RUSAGE_SELF)
    state = asyncio.run(driver.run())
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert state.ended == "all trials done", state.ended
    return {
        "trials": trials,
        "results": tally.results,
        "iterations": tally.iterations,
        "puts": store.puts.total(),
        "others": store.others.total(),
        "log_bytes": store.put_bytes["log"],
        "pack_bytes": store.put_bytes["packs"],
        "snapshot_bytes": store.put_bytes["snapshots"],
        "snapshots": store.puts["snapshots"],
        "user_s": after.ru_utime - before.ru_utime - executor.cpu_s,
        "kernel_s": after.ru_stime - before.ru_stime,
        "simulator_s": executor.cpu_s,
    }


if __name__ == "__main__":
    shape, trials, *urls = sys.argv[1:]
    run(shape, WARM_UP_TRIALS, f"{urls[0]}-warm")
    for url in urls:
        print(json.dumps(run(shape, int(trials), url)), flush=True)
