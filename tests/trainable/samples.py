"""Trainables and a host for the tests of this folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.stoppers import StopCriteria
from tune_flows.trainable import Trainable, resolve_trainable
from tune_flows.worker import Batch, Outcome, StepClock, TrialHost


class Counter(Trainable):
    """Counts its steps; saves a dict, or a file with `{"files": True}` or "returned"."""

    ended: list[str] = []  # noqa: RUF012 - what was cleaned up, for all instances

    def setup(self, config: dict[str, Any]) -> None:
        self.count = 0

    def step(self) -> dict[str, Any]:
        assert self.iteration == self.training_iteration
        self.count += 1
        if self.count == self.config.get("fail_at"):
            raise ValueError("boom\nsecond line")
        return {"count": self.count, "done": self.count == self.config.get("done_at")}

    def save_checkpoint(self, checkpoint_dir: Path) -> Any:
        if not self.config.get("files"):
            return {"count": self.count}
        (checkpoint_dir / "count.txt").write_text(str(self.count))
        return checkpoint_dir if self.config["files"] == "returned" else None

    def load_checkpoint(self, checkpoint: Any) -> None:
        if isinstance(checkpoint, Path):
            self.count = int((checkpoint / "count.txt").read_text())
        else:
            self.count = checkpoint["count"]

    def cleanup(self) -> None:
        Counter.ended.append(self.trial_id)


def train(config: dict[str, Any]) -> None:
    """A function to import."""


class FullStorage(MemoryCheckpoints):
    """Takes nothing."""

    def save(self, trial_id: str, iteration: int, source: Path, *, lease: int) -> dict[str, Any]:
        raise OSError("disk full")

    def restore(self, ref: Mapping[str, Any], target: Path) -> None:
        raise OSError("unreadable")


def make_host(trainable: object, *, stop: Mapping[str, float] | None = None, **options: Any) -> TrialHost:
    ticks = iter(range(10**9))
    defaults: dict[str, Any] = {
        "checkpoints": MemoryCheckpoints(),
        # each iteration takes one second
        "clock": StepClock(clock=lambda: 1000.0, timer=lambda: float(next(ticks))),
        "experiment_name": "exp",
    }
    return TrialHost(resolve_trainable(trainable), stop=StopCriteria.parse(stop), **(defaults | options))


def iterations(batch: Batch) -> list[int]:
    return [result.iteration for result in batch.results]


def run_to_halt(host: TrialHost, *args: Any, **options: Any) -> Batch:
    """One batch of all that comes before the next outcome other than RUNNING."""
    batch = host.advance(*args, **options)
    results, checkpoints = batch.results, batch.checkpoints
    while batch.outcome is Outcome.RUNNING:
        batch = host.advance(None, **options)
        results, checkpoints = results + batch.results, checkpoints + batch.checkpoints
    return Batch(results, checkpoints, batch.outcome, batch.reason, batch.stuck)
