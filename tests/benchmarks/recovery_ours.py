"""Our side of the section `recovery`; workers import this file, so it imports nothing heavy."""

import logging
import os

os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")

from tests.benchmarks.recovery_work import Killer, step
from tune_flows import Trainable


class Counter(Trainable):
    def setup(self, config):
        self.count = 0

    def step(self):
        done = step(self.config["folder"])
        self.count += 1
        return {"count": self.count, "done": done}

    def save_checkpoint(self, checkpoint_dir):
        return {"count": self.count}

    def load_checkpoint(self, checkpoint):
        self.count = checkpoint["count"]


def recover(kills, folder):
    """The gaps of a run whose worker is killed, without our delay before a retry: Ray Tune has none."""
    import ray

    from tune_flows import CheckpointConfig, FailureConfig, tune

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with Killer(folder, kills) as killer:
        result = tune(
            Counter,
            {"folder": folder},
            metric="count",
            num_samples=1,
            checkpoint_config=CheckpointConfig(checkpoint_frequency=5),
            failure_config=FailureConfig(max_infra_failures=-1, retry_delay_s=0),
            storage_path=folder,
        )
    ray.shutdown()
    assert not result.errors
    return {"gaps": killer.gaps}
