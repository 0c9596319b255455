"""The peer's side of the section `recovery`."""

import json
import logging
import os
from pathlib import Path

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune

from tests.benchmarks.recovery_work import Killer, step


class Counter(tune.Trainable):
    def setup(self, config):
        self.count = 0

    def step(self):
        done = step(self.config["folder"])
        self.count += 1
        return {"count": self.count, "done": done}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "count.json").write_text(json.dumps(self.count))

    def load_checkpoint(self, checkpoint_dir):
        self.count = json.loads(Path(checkpoint_dir, "count.json").read_text())


def recover(kills, folder):
    """The gaps of a run whose worker is killed."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with Killer(folder, kills) as killer:
        results = tune.Tuner(
            Counter,
            param_space={"folder": folder},
            tune_config=tune.TuneConfig(metric="count", mode="max"),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=5),
                failure_config=tune.FailureConfig(max_failures=-1),
            ),
        ).fit()
    ray.shutdown()
    assert not results.errors
    return {"gaps": killer.gaps}
