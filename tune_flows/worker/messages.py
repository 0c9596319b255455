"""Messages between an executor and a `TrialHost`."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tune_flows.core.trial import CheckpointRef, Result

__all__ = ["AdvanceRequest", "Batch", "Outcome", "StartTrial"]


@dataclass(frozen=True, slots=True)
class StartTrial:
    """The trial that the host must run, and its progress so far."""

    trial_id: str
    lease: int
    config: dict[str, Any]
    iteration: int = 0
    """Iterations journalled already; those after the checkpoint are repeated without reporting results."""
    time_total_s: float = 0.0
    """Seconds of training journalled already; repeated iterations are not counted again."""
    checkpoint: CheckpointRef | None = None
    """Checkpoint to start from; None: start from scratch."""
    keep_from: bool = False
    """Whether a class Trainable that the previous trial left here unfinished may be reused, if its
    `reset_config` returns True."""


@dataclass(frozen=True, slots=True)
class AdvanceRequest:
    """How far to train."""

    until: int | None = None
    """Iteration at which to wait for a decision; None: train to the end."""
    save_at: int | None = None
    """Iteration whose checkpoint must be durable before its result is handed over. For a function trainable,
    which decides itself when to save, the newest reported checkpoint must be."""
    config: dict[str, Any] | None = None
    """Configuration to continue with, from `checkpoint`; None: continue unchanged."""
    checkpoint: CheckpointRef | None = None


class Outcome(StrEnum):
    """Why `TrialHost.advance` returned."""

    RUNNING = "running"
    """The batch is full or its time is over; call `advance` again."""
    WAITS = "waits"
    """The trial is at its decision point; pass an `AdvanceRequest` with the next call."""
    COMPLETED = "completed"
    """The trial ended by itself and was cleaned up."""
    INTERRUPTED = "interrupted"
    """`interrupt` was called; the trial is between two steps and can continue."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Results and checkpoints since the previous batch."""

    results: tuple[Result, ...]
    """New results in order; may be empty."""
    checkpoints: tuple[CheckpointRef, ...]
    """Durable checkpoints in order. Each belongs right before the result of its iteration if that is in this
    batch; otherwise its upload took longer, and it belongs before all results."""
    outcome: Outcome
    reason: str = ""
    """With COMPLETED: `done`, `returned`, or the stop criterion that was met."""
    stuck: bool = False
    """Whether a thread of user code did not end: this process must be ended, not reused."""
    idle_s: float = field(default=0.0, compare=False)
    """With RUNNING: seconds since the trial's last heartbeat."""
