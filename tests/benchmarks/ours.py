"""Our side: prints one JSON line for each scenario. Prefect's API is on: every segment is a task run."""

import json
import logging
import os
import sys
import tempfile
import time

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")

import ray
from prefect import flow

from tests.benchmarks.work import WORK
from tune_flows import Trainable, tune, uniform
from tune_flows.schedulers import ASHAScheduler, TrialScheduler


class Empty(Trainable):
    def setup(self, config):
        self.loss = config["x"]

    def step(self):
        return {"loss": self.loss, "t": time.time()}


class EveryStep(TrialScheduler):
    """Wants a say after every step, as a custom scheduler does that names no decision points."""


def run(scenario: str, storage: str) -> dict[str, object]:
    work = WORK[scenario]
    kinds = {
        "steps_asha": lambda: ASHAScheduler(max_t=work.steps, grace_period=30),
        "steps_each": EveryStep,
    }
    scheduler = kinds[scenario]() if scenario in kinds else None
    began = time.perf_counter()
    result = tune(
        Empty,
        {"x": uniform(0, 1)},
        metric="loss",
        mode="min",
        num_samples=work.trials,
        scheduler=scheduler,
        stop={"training_iteration": work.steps},
        reuse_actors=work.reuse,
        storage_path=storage,
    )
    seconds = time.perf_counter() - began
    steps = result.dataframe()["t"]
    return {"scenario": scenario, "call": seconds, "training": steps.max() - steps.min()}


@flow
def bench(scenarios: list[str]) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory() as storage:
        run("trials", storage)  # warm
        for scenario in scenarios:
            print(json.dumps(run(scenario, storage)), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    bench(sys.argv[1:])
