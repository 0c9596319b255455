"""Experiments that die at a write and are run again.

A run is deterministic, so what is durable when it dies at its write k are its first k writes: one run is
recorded, and each crash of it is made from that record. Whether the process died inside write k (stored, its
reply lost), after it or before the next one makes no difference to what lies in the storage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.experiment.history_digest import Story, story_of
from tests.experiment.memory_store import Died, MemoryFolder, Write, checkpoints_in
from tests.experiment.simulated_experiment import SimulatedExperiment

__all__ = ["Recorded", "die", "placed", "record"]


def placed(shop: SimulatedExperiment, folder: MemoryFolder) -> SimulatedExperiment:
    """The same experiment in a folder of its own, with its checkpoints."""
    return replace(shop, folder=folder, checkpoints=checkpoints_in(folder))


def told(shop: SimulatedExperiment, folder: MemoryFolder) -> Story:
    """How the experiment in the folder goes on to its end."""
    return story_of(folder, placed(shop, folder).run())


@dataclass(frozen=True)
class Recorded:
    """An experiment that ran without any crash."""

    shop: SimulatedExperiment
    writes: Sequence[Write]
    story: Story

    @property
    def log(self) -> list[int]:
        """Which of the writes (from 1) are entries of the log."""
        return [number for number, (key, _) in enumerate(self.writes, 1) if key.startswith("log/")]

    def check(self, folder: MemoryFolder, what: str) -> MemoryFolder:
        """Run on what lies in the folder; it must end as if nothing had been."""
        difference = self.story.difference(told(self.shop, folder))
        assert difference is None, f"{what}: {difference}"
        return folder

    def check_crash(self, number: int) -> MemoryFolder:
        """Die after write `number`, run again."""
        return self.check(MemoryFolder(self.writes[:number]), self.where(number))

    def where(self, number: int) -> str:
        """A crash point, for messages."""
        key = self.writes[number - 1][0] if number else "nothing"
        return f"crash after write {number} of {len(self.writes)} ({key})"


def record(**parameters: Any) -> Recorded:
    """Run an experiment (parameters of `SimulatedExperiment`) to its end."""
    shop, folder = SimulatedExperiment(**parameters), MemoryFolder()
    story = told(shop, folder)
    return Recorded(shop, folder.writes, story)


def die(shop: SimulatedExperiment, folder: MemoryFolder) -> bool:
    """Run until the folder dies; whether it did, or the experiment ended before."""
    try:
        placed(shop, folder).run()
    except Died:
        return True
    return False
