"""The simulated executor's state of one trial that holds a worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.events import Event
from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.executors.base import events_of
from tune_flows.executors.simulated.in_flight import StepInFlight
from tune_flows.worker.host import Batch, Outcome, TrialHost
from tune_flows.worker.step_clock import StepClock

__all__ = ["VirtualClock", "VirtualLease", "VirtualWorker"]


class VirtualClock(StepClock):
    """A step clock that gives the host the virtual times of its steps.

    Args:
        step_time: Virtual seconds of a step, given its configuration and iteration.
    """

    def __init__(self, step_time: Callable[[Mapping[str, Any], int], float]) -> None:
        super().__init__()
        self._step_time = step_time
        self.now = 0.0
        """The virtual time at which the current step ends."""

    def start(self) -> None:
        """Do nothing: `lap` gives the duration of a step."""

    def lap(self, config: Mapping[str, Any], iteration: int) -> tuple[float, float]:
        """Return the virtual duration of the step and the virtual time of its end."""
        return self._step_time(config, iteration), self.now


@dataclass(slots=True)
class VirtualWorker:
    """A worker in this process: a trial host and its clock."""

    host: TrialHost
    clock: VirtualClock


@dataclass(slots=True)
class VirtualLease:
    """One trial's hold on a worker."""

    launch: LaunchSegment
    worker: VirtualWorker
    config: dict[str, Any]
    iteration: int
    """Iterations that the trial has completed, counted on from those of its checkpoint."""
    step: StepInFlight
    until: int | None
    save_at: int | None
    clone: ContinueTrial | None = None
    """The command to continue from another trial's checkpoint, until it has been carried out."""
    started: bool = False
    waits: bool = False
    order: PauseTrial | StopTrial | None = None
    entry: int = -1
    """The number of this lease's current agenda entry; its other entries are ignored."""
    results: list[Result] = field(default_factory=list[Result])
    """Not handed out yet."""
    checkpoints: list[CheckpointRef] = field(default_factory=list[CheckpointRef])
    """Not handed out yet."""

    @property
    def step_goal(self) -> int:
        """The iteration at which the next step ends; iterations already reported are repeated as one step."""
        if not self.started and self.until is not None and self.until <= self.launch.iteration:
            return self.until
        return max(self.iteration, self.launch.iteration) + 1

    def is_between_steps(self, now: float) -> bool:
        """Return whether no step is under way, or only one that begins at `now`."""
        return self.waits or self.step.since == now

    def suspend(self, batch: Batch) -> None:
        """Keep the results and checkpoints of a batch until they are handed out."""
        self.results += batch.results
        self.checkpoints += batch.checkpoints

    def hand_out(self) -> list[Event]:
        """Return the kept results and checkpoints as events, and clear them."""
        outcome = Outcome.WAITS if self.waits else Outcome.RUNNING
        batch = Batch(tuple(self.results), tuple(self.checkpoints), outcome)
        self.results, self.checkpoints = [], []
        return events_of(self.launch.trial_id, self.launch.lease, batch)

    def __str__(self) -> str:
        doing = "waits" if self.waits else "trains"
        return f"{self.launch.trial_id}, lease {self.launch.lease}, {doing} at iteration {self.iteration}"
