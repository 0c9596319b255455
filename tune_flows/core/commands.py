"""Commands from the runner to the executor, issued once the records that cause them are durable.

Commands are not recorded: after a restart they are derived from the state again.
"""

from dataclasses import dataclass
from typing import Any

from tune_flows.core.trial import CheckpointRef

__all__ = [
    "Command",
    "ContinueTrial",
    "DeleteCheckpoint",
    "LaunchSegment",
    "PauseTrial",
    "StopTrial",
    "TrialCommand",
]


@dataclass(frozen=True, slots=True)
class LaunchSegment:
    """Start the trial on a worker, restore the checkpoint, train to the decision point and wait there."""

    trial_id: str
    lease: int
    config: dict[str, Any]
    iteration: int
    """Iterations already journalled: results up to here are known and need not be reported again."""
    time_total_s: float
    """Seconds of training already journalled."""
    until: int | None
    """Decision point (a training iteration); None: train to the end."""
    save_at: int | None
    """Iteration whose checkpoint must be durable before the worker reports it; None: no such checkpoint."""
    checkpoint: CheckpointRef | None
    """Checkpoint to start from; None: from scratch."""
    delay_s: float = 0.0
    """Seconds to wait, after a fault, before a worker is taken; an executor in virtual time may ignore it."""


@dataclass(frozen=True, slots=True)
class ContinueTrial:
    """Continue to train the waiting trial until the next decision point."""

    trial_id: str
    lease: int
    until: int | None
    save_at: int | None
    config: dict[str, Any] | None = None
    """Configuration to continue with, from `checkpoint`; None: configuration and progress are unchanged."""
    checkpoint: CheckpointRef | None = None


@dataclass(frozen=True, slots=True)
class PauseTrial:
    """Save a checkpoint, free the worker, report `TrialPaused`; interrupt between two steps if necessary."""

    trial_id: str
    lease: int
    save: bool = True
    """Whether to save a checkpoint; False: the trial will resume from its newest existing one."""


@dataclass(frozen=True, slots=True)
class StopTrial:
    """Free the worker and report `TrialCompleted`; interrupt between two steps if necessary."""

    trial_id: str
    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class DeleteCheckpoint:
    """Delete a checkpoint from the storage if it exists."""

    checkpoint: CheckpointRef


TrialCommand = LaunchSegment | ContinueTrial | PauseTrial | StopTrial
"""A command that an executor carries out."""

Command = TrialCommand | DeleteCheckpoint
