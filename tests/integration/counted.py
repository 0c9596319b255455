"""A trainable that leaves a line for each step it takes, and those lines."""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import ray

from tests.integration.trainables import wait_for
from tune_flows import Trainable


class Counted(Trainable):
    """Its score is a sum that only a restored checkpoint can carry on.

    Config: `slope`: what a step adds; `folder`: where the lines go, one file for each trial; `pause_s`:
    length of a step; `holds`: lists of trial (or "*"), iteration and the file that the step waits for;
    `until`: a file whose presence ends the trial; `environment`: variables that the worker gets.
    """

    def setup(self, config: dict[str, Any]) -> None:
        os.environ.update(config.get("environment", {}))
        self.total = 0.0
        self.session = uuid4().hex
        self.job = ray.get_runtime_context().get_job_id()

    def step(self) -> dict[str, Any]:
        iteration = self.iteration + 1
        for trial_id, at, gate in self.config.get("holds", ()):
            if trial_id in ("*", self.trial_id) and at == iteration:
                wait_for(gate)
        time.sleep(self.config["pause_s"])
        self.total += self.config["slope"]
        line = f"{self.session} {iteration} {os.getpid()} {self.job}\n"
        with Path(self.config["folder"], self.trial_id).open("a") as lines:
            lines.write(line)
        done = "until" in self.config and Path(self.config["until"]).exists()
        return {"score": self.total, "pid": os.getpid(), "done": done}

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        return {"total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = checkpoint["total"]


class Step(NamedTuple):
    """A step that was taken, whether or not anybody heard of it."""

    session: str
    """One life of a Trainable object."""
    iteration: int
    pid: int
    job: str
    """Ray's id of the driver."""


def steps_taken(folder: Path) -> dict[str, list[Step]]:
    """All steps of each trial, in order."""
    found: dict[str, list[Step]] = {}
    for file in sorted(folder.iterdir()):
        fields = [line.split() for line in file.read_text().splitlines()]
        found[file.name] = [Step(each[0], int(each[1]), int(each[2]), each[3]) for each in fields]
    return found
