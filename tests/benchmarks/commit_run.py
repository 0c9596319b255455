"""The section `commit`: real trials of the real flow, 100 results a second, with what their commits take.

    python -m tests.benchmarks.commit_run LABEL=URL ...

Prints one JSON line for each storage and each kind of scheduler. Prefect's API is on, Ray is real.
"""

import functools
import json
import logging
import os
import sys
import time

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

import ray
from prefect import flow

from tune_flows import Trainable, tune, uniform
from tune_flows.schedulers import TrialScheduler
from tune_flows.store import Journal

TRIALS = 2
STEPS = 750
STEP_S = 0.02


class Sleeper(Trainable):
    """A step is 20 ms of sleep, so that nothing but waiting can slow it down."""

    def step(self):
        began = time.time()
        time.sleep(STEP_S)
        return {"loss": self.config["x"], "began": began, "ended": time.time()}


class EveryStep(TrialScheduler):
    """Wants a say after every step, so that each step waits for the commit of the one before."""


SCHEDULERS = {"batches": None, "each": EveryStep}


class Commits:
    """Counts and times the calls of `Journal.append`: encoding and writing, as the loop waits for it."""

    def __init__(self):
        self.number, self.seconds = 0, 0.0

    def watch(self):
        append = Journal.append

        @functools.wraps(append)
        def timed(journal, *args, **options):
            began = time.perf_counter()
            seq = append(journal, *args, **options)
            self.seconds += time.perf_counter() - began
            self.number += 1
            return seq

        Journal.append = timed


def run(commits, scheduler, url):
    before = commits.number, commits.seconds
    result = tune(
        Sleeper,
        {"x": uniform(0, 1)},
        metric="loss",
        mode="min",
        num_samples=TRIALS,
        scheduler=SCHEDULERS[scheduler] and SCHEDULERS[scheduler](),
        stop={"training_iteration": STEPS},
        storage_path=url,
    )
    steps = result.dataframe()
    spans = [trial["ended"].max() - trial["began"].min() for _, trial in steps.groupby("trial_id")]
    return {
        "results": len(steps),
        "commits": commits.number - before[0],
        "commit_s": commits.seconds - before[1],
        "training_s": steps["ended"].max() - steps["began"].min(),
        "slower_s": max(spans),
        "ideal_s": STEPS * STEP_S,
    }


@flow
def bench(storages: dict[str, str]) -> None:
    commits = Commits()
    commits.watch()
    ray.init(num_cpus=TRIALS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    for scheduler in SCHEDULERS:
        for label, url in storages.items():
            row = run(commits, scheduler, url)
            print(json.dumps({"storage": label, "scheduler": scheduler, **row}), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    bench(dict(argument.split("=", 1) for argument in sys.argv[1:]))
