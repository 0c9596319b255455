"""The interface that runs of class and function trainables share inside a worker."""

from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.trainable.resolve import TrainableSpec
from tune_flows.worker.checkpoint_backend import Scratch
from tune_flows.worker.checkpoint_uploader import CheckpointUploader
from tune_flows.worker.messages import Outcome
from tune_flows.worker.progress_tracker import ProgressTracker
from tune_flows.worker.step_clock import StepClock

__all__ = ["Run", "RunParts"]


@dataclass(frozen=True, slots=True)
class RunParts:
    """The objects that the host gives to a run."""

    spec: TrainableSpec
    trial_id: str
    experiment_name: str
    tracker: ProgressTracker
    uploader: CheckpointUploader
    scratch: Scratch
    clock: StepClock
    resources: dict[str, float] = field(default_factory=dict[str, float])


class Run(Protocol):
    """Runs one trial in this worker; raises `TrainableError` and `InfrastructureError`."""

    def advance(self, interrupted: Event, batch_s: float, max_results: int) -> Outcome:
        """Train until there is an outcome to return."""
        ...

    def take(self) -> tuple[Result, ...]:
        """Return the results since the last call."""
        ...

    def save(self) -> None:
        """Send a checkpoint of the current iteration, if there is one to save."""
        ...

    def restart(self, config: dict[str, Any], checkpoint: CheckpointRef | None) -> None:
        """Continue with `config` from `checkpoint`."""
        ...

    def wake(self) -> None:
        """Make the run check for an interrupt that was set; may be called from any thread."""
        ...

    def end(self) -> bool:
        """Clean up, once, and return whether no user code is running any more."""
        ...
