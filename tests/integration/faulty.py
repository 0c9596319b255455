"""Trainables with every fault there is; workers import this file, so it imports nothing heavy."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.integration.trainables import is_first, wait_for
from tune_flows import Checkpoint, Trainable, get_checkpoint, report

_BLOCK_BYTES = 32 << 20


class OwnError(Exception):
    """The trainable's own."""


def act(deed: str | None) -> Any:
    """Do what a trainable should not; return a metric."""
    match deed:
        case "raise":
            raise OwnError("no luck")
        case "sys.exit":
            sys.exit(3)
        case "os._exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.kill(os.getpid(), signal.SIGABRT)
            time.sleep(600)  # the main thread takes the signal, some time later
        case "hang":
            time.sleep(600)
        case "hang in C":  # and let no other thread run
            ctypes.PyDLL(None).sleep(600)
        case "memory":
            bytearray(1 << 60)
        case "fork":
            if os.fork() == 0:
                raise OwnError("in a child")
            os.wait()
        case "bad metric":
            return object()
        case _:
            pass
    return 1


class Faulty(Trainable):
    """Has `deeds` by place: setup, step (the third), save (then), load; once, where `once` is a file.

    Each step takes `pause_s` at least; a second or more of them is handed over before the deed.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.begun = 0
        self.act("setup")

    def step(self) -> dict[str, Any]:
        time.sleep(self.config["case"].get("pause_s", 0))
        deed = self.act("step") if self.iteration == 2 else 1
        return {"score": deed, "begun": self.begun}

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        if self.iteration == 3:
            self.act("save")
        return {"iteration": self.iteration}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.act("load")
        self.begun = checkpoint["iteration"]

    def act(self, place: str) -> Any:
        """What is to be done here, if it is."""
        case = self.config["case"]
        done = "once" in case and not is_first(f"{case['once']}-{place}")
        return 1 if done else act(case["deeds"].get(place))


def faulty(config: dict[str, Any]) -> None:
    """Does `deed` before its third report; saves every iteration; once, where `once` is a file."""
    case, saved = config["case"], get_checkpoint()
    begun = saved.to_dict()["iteration"] if saved else 0
    for iteration in range(begun + 1, 5):
        due = iteration == 3 and ("once" not in case or is_first(case["once"]))
        metrics = {"score": act(case["deed"] if due else None), "begun": begun}
        report(metrics, checkpoint=Checkpoint.from_dict({"iteration": iteration}))


def noting(config: dict[str, Any]) -> dict[str, Any]:
    """Notes its process in the file `pids`, then does `deed`."""
    with Path(config["case"]["pids"]).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    return {"score": act(config["case"]["deed"])}


class Slow(Trainable):
    """Steps of `pause_s`; its total is carried on by checkpoints alone; notes each step and node in `folder`.

    With `hold_at`, that step waits for the file `gate`.
    """

    def setup(self, config: dict[str, Any]) -> None:
        import ray

        self.total = 0
        self.node = ray.get_runtime_context().get_node_id()
        (Path(config["folder"]) / f"{self.trial_id}.pid").write_text(str(os.getpid()))
        (Path(config["folder"]) / f"{self.node}.node").touch()

    def step(self) -> dict[str, Any]:
        if self.iteration + 1 == self.config.get("hold_at"):
            wait_for(self.config["gate"])
        time.sleep(self.config["pause_s"])
        self.total += 1
        with (Path(self.config["folder"]) / f"{self.trial_id}.steps").open("a") as steps:
            steps.write(f"{os.getpid()} {self.iteration + 1}\n")
        return {"total": self.total, "node": self.node}

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        return {"total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = checkpoint["total"]


class Filling(Slow):
    """Its third step fills memory, up to `most_bytes`, until somebody stops it; once, by the file `once`."""

    def step(self) -> dict[str, Any]:
        if self.iteration == 2 and is_first(self.config["once"]):
            held: list[bytes] = []
            while len(held) * _BLOCK_BYTES < self.config["most_bytes"]:
                held.append(b"x" * _BLOCK_BYTES)
                time.sleep(0.02)  # so that what watches the memory comes before the kernel
        return super().step()


def with_helper(config: dict[str, Any]) -> dict[str, Any]:
    """Asks a Ray task of its own for a number."""
    import ray

    @ray.remote(num_cpus=1)
    def number() -> int:
        return 42

    return {"score": ray.get(number.remote(), timeout=60)}
