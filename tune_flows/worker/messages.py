"""What an executor and a `TrialHost` say to each other."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tune_flows.core.trial import CheckpointRef, Result

__all__ = ["AdvanceRequest", "Batch", "Outcome", "StartTrial"]


@dataclass(frozen=True, slots=True)
class StartTrial:
    """Which trial the host is to run, and where it stands."""

    trial_id: str
    lease: int
    config: dict[str, Any]
    iteration: int = 0
    """Iterations journalled already: training up to here, from the checkpoint on, is repeated silently."""
    time_total_s: float = 0.0
    """Seconds of training journalled already; repeated iterations are not counted again."""
    checkpoint: CheckpointRef | None = None
    """Where to start from; None: from scratch."""
    keep_from: bool = False
    """Whether a class Trainable that the trial before has left here unfinished may be taken over, if its
    `reset_config` agrees."""


@dataclass(frozen=True, slots=True)
class AdvanceRequest:
    """How far to train."""

    until: int | None = None
    """Iteration to wait at for a decision; None: to the end."""
    save_at: int | None = None
    """Iteration of which a checkpoint must be durable before its result is handed over. A function trainable
    saves when it reports a checkpoint, so there the newest reported one is."""
    config: dict[str, Any] | None = None
    """With `checkpoint`: go on as this configuration from there; None: as it is."""
    checkpoint: CheckpointRef | None = None


class Outcome(StrEnum):
    """Why `TrialHost.advance` came back."""

    RUNNING = "running"
    """The batch is full or its time is over; call again."""
    WAITS = "waits"
    """At the decision point: the next call brings a stretch."""
    COMPLETED = "completed"
    """The trial ended itself and was cleaned up."""
    INTERRUPTED = "interrupted"
    """`interrupt` was called; the trial stands between two steps and could go on."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What happened since the batch before."""

    results: tuple[Result, ...]
    """Fresh results in order; may be empty."""
    checkpoints: tuple[CheckpointRef, ...]
    """Durable checkpoints in order; each belongs right before the result of its iteration if that is in this
    batch, and before all results if its upload took longer."""
    outcome: Outcome
    reason: str = ""
    """Of COMPLETED: `done`, `returned`, or the stop criterion that was met."""
    stuck: bool = False
    """Whether a thread of user code did not end: this process must be ended, not reused."""
    idle_s: float = field(default=0.0, compare=False)
    """Of RUNNING: seconds since the trial last showed a sign of life."""
