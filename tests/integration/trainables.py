"""Trainables of the integration tests; workers import this file, so it imports nothing heavy."""

import inspect
import os
import threading
import time
from pathlib import Path
from typing import Any

from tune_flows import Checkpoint, Trainable, get_checkpoint, report


def wait_for(what: Any, within_s: float = 240.0) -> None:
    """Return once the file is there, or the condition holds."""
    deadline = time.monotonic() + within_s
    while not (what() if callable(what) else Path(what).exists()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(0.02)


def is_first(file: str) -> bool:
    """Whether nobody asked for this file before."""
    try:
        Path(file).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def climb(config: dict[str, Any]) -> None:
    """Score grows by `slope` with each iteration; saves every iteration and goes on from there.

    Config: `slope`; `steps`: iterations (10); `wait_at`: iteration that waits for the file `gate`, and then
    ends the process, if `exit`; `raise_at`: iteration that fails. With `once` (a file) both happen only once.
    """
    saved = get_checkpoint()
    begun = saved.to_dict()["iteration"] if saved else 0
    for iteration in range(begun + 1, config.get("steps", 10) + 1):
        if iteration == config.get("wait_at"):
            wait_for(config["gate"])
            if config.get("exit") and is_first(config["once"]):
                os._exit(3)
        if iteration == config.get("raise_at") and ("once" not in config or is_first(config["once"])):
            raise ValueError(f"no luck at {iteration}")
        score = iteration * config["slope"]
        metrics = {"score": score, "begun": begun, "pid": os.getpid()}
        report(metrics, checkpoint=Checkpoint.from_dict({"iteration": iteration}))


class Climber(Trainable):
    """Has a sum that only a restored checkpoint can carry on, and the trials that it came from."""

    def setup(self, config: dict[str, Any]) -> None:
        assert not hasattr(self, "total"), "a trial got a used Trainable"
        self.total = 0.0
        self.lineage = [self.trial_id]
        self.thread = threading.get_ident()

    def step(self) -> dict[str, Any]:
        assert self.thread == threading.get_ident()
        time.sleep(self.config.get("pause_s", 0))
        self.total += self.config["slope"]
        return {"score": self.total, "lineage": ">".join(self.lineage), "pid": os.getpid()}

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        assert self.thread == threading.get_ident()
        return {"total": self.total, "lineage": self.lineage}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total, self.lineage = checkpoint["total"], [*checkpoint["lineage"], self.trial_id]


def crowd(config: dict[str, Any]) -> dict[str, Any]:
    """How many trials run while this one does; waits until `expected` have been here."""
    here = Path(config["folder"]) / f"{threading.get_native_id()}-{time.monotonic_ns()}.here"
    here.touch()
    wait_for(lambda: len(list(Path(config["folder"]).iterdir())) >= config["expected"])
    seen = [len(list(Path(config["folder"]).glob("*.here"))) for _ in range(50)]
    here.rename(here.with_suffix(".gone"))
    return {"score": max(seen)}


def frame_sum(config: dict[str, Any], data: Any, counted: Any) -> dict[str, Any]:
    """What arrived of the objects of `with_parameters`."""
    column = data["x"].to_numpy()
    return {
        "score": float(column.sum()),
        "copied": bool(column.flags.writeable),
        "object": f"{os.getpid()}/{id(data)}",
        "counted": counted.word,
    }


class Unpicklable(Exception):
    """Cannot be sent anywhere."""

    def __init__(self, lock: Any, text: str) -> None:
        super().__init__(text)
        self.lock = lock


def raise_unpicklable(config: dict[str, Any]) -> None:
    """Fails with an exception that cannot be pickled."""
    raise Unpicklable(threading.Lock(), "holds a lock")


def deaf(config: dict[str, Any]) -> None:
    """Does not end when it is told to."""
    try:
        while True:
            report({"score": 0, "pid": os.getpid()})
    except BaseException:
        wait_for(config["gate"])


class Hanging(Trainable):
    """Its second step never ends."""

    def step(self) -> dict[str, Any]:
        Path(self.config["folder"], str(os.getpid())).touch()
        if self.iteration:
            Path(self.config["folder"], f"{self.trial_id}.second").touch()
            wait_for(self.config["gate"])
        return {"score": 0}


class Gated(Trainable):
    """Its step `hold_at` says in `folder` that it has begun, and waits for the file `gate`.

    Once there is the file `yields` beside it, the step also ends when the trial is told to end.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.total = self.restored = 0

    def step(self) -> dict[str, Any]:
        if self.iteration + 1 == self.config["hold_at"]:
            Path(self.config["folder"], f"{self.trial_id}.held").touch()
            wait_for(self._may_end)
        self.total += 1
        return {"score": self.total, "restored": self.restored, "pid": os.getpid()}

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        return {"total": self.total}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.total = self.restored = checkpoint["total"]

    def _may_end(self) -> bool:
        gate = Path(self.config["gate"])
        return gate.exists() or (gate.with_name("yields").exists() and is_told_to_end())


def is_told_to_end() -> bool:
    """Whether the order to end after the present step is there; nothing public tells it within a step."""
    frame = inspect.currentframe()
    while frame is not None and not isinstance(frame.f_locals.get("interrupted"), threading.Event):
        frame = frame.f_back
    assert frame is not None, "not called in a step"
    return frame.f_locals["interrupted"].is_set()
