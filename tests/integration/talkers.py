"""Trainables that print and log; workers import this file, so it imports nothing heavy."""

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from tests.integration.trainables import wait_for
from tune_flows import Trainable, report

log = logging.getLogger(__name__)


def talk(config: dict[str, Any]) -> None:
    """Says what it can in two steps, then does what `then` says."""
    log.info("begins")
    for step in range(2):
        print("step", step)
        for percent in (50, 100):
            print(f"\r{percent}%", end="", file=sys.stderr)
        print(file=sys.stderr)
        log.warning("careful with %d", step)
        logging.getLogger("ray.data").warning("noise")
        subprocess.run(["echo", f"child {step}"], check=True)
        report({"loss": step})
    match config["then"]:
        case "raise":
            print("so sad", end="")
            raise ValueError("no luck")
        case "exit":
            print("last words", end="")
            os._exit(1)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)
        case "flood":
            for number in range(20_000):
                print("flood", number)
        case _:
            print("returns")


class Talker(Trainable):
    """Says which of its methods is called; its second step waits for the file `gate`, if there is one."""

    def setup(self, config: dict[str, Any]) -> None:
        print("setup")

    def step(self) -> dict[str, Any]:
        print("step", self.iteration)
        if "gate" in self.config and self.iteration == 1:
            wait_for(self.config["gate"])
        return {"loss": 1.0, "done": self.iteration == 1}

    def save_checkpoint(self, checkpoint_dir: Any) -> dict[str, Any]:
        print("save")
        return {"iteration": self.iteration}

    def load_checkpoint(self, checkpoint: Any) -> None:
        print("load")

    def cleanup(self) -> None:
        print("cleanup")
