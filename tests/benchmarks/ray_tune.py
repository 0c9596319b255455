"""The peer's side: the same work by Ray Tune; prints one JSON line for each scenario."""

import json
import logging
import os
import sys
import tempfile
import time

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from tests.benchmarks.work import WORK


class Empty(tune.Trainable):
    def setup(self, config):
        self.loss = config["x"]

    def step(self):
        return {"loss": self.loss, "t": time.time()}

    def reset_config(self, new_config):
        self.loss = new_config["x"]
        return True


class Span(tune.Callback):
    """When the first and the last step were taken."""

    def __init__(self):
        self.times = []

    def on_trial_result(self, iteration, trials, trial, result, **info):
        self.times.append(result["t"])


def run(scenario: str, storage: str) -> dict[str, object]:
    work = WORK[scenario]
    asha = ASHAScheduler(max_t=work.steps, grace_period=30) if scenario == "steps_asha" else None
    span = Span()
    tuner = tune.Tuner(
        Empty,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=work.trials, scheduler=asha, reuse_actors=work.reuse
        ),
        run_config=tune.RunConfig(
            stop={"training_iteration": work.steps}, storage_path=storage, verbose=0, callbacks=[span]
        ),
    )
    began = time.perf_counter()
    tuner.fit()
    seconds = time.perf_counter() - began
    return {"scenario": scenario, "call": seconds, "training": max(span.times) - min(span.times)}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory() as storage:
        for scenario in sys.argv[1:]:
            print(json.dumps(run(scenario, storage)), flush=True)
    ray.shutdown()
