"""What shall happen: the runner's orders to the executor, issued once their cause is durable.

Commands are not recorded: after a restart they follow from the state again.
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
    """Give the trial a worker, restore the checkpoint, train to the decision point and wait there."""

    trial_id: str
    lease: int
    config: dict[str, Any]
    iteration: int
    """Iterations journalled already: results up to here are known and need not be reported again."""
    time_total_s: float
    """Seconds of training journalled already."""
    until: int | None
    """Decision point (a training iteration); None: train to the end."""
    save_at: int | None
    """Iteration at which a checkpoint must be durable before the worker reports it; None: none demanded."""
    checkpoint: CheckpointRef | None
    """Where to start from; None: from scratch."""
    delay_s: float = 0.0
    """Seconds to wait, after a fault, before a worker is taken; virtual time need not."""


@dataclass(frozen=True, slots=True)
class ContinueTrial:
    """Train the waiting trial on to the next decision point."""

    trial_id: str
    lease: int
    until: int | None
    save_at: int | None
    config: dict[str, Any] | None = None
    """With `checkpoint`: go on as this configuration from that checkpoint; None: as it is."""
    checkpoint: CheckpointRef | None = None


@dataclass(frozen=True, slots=True)
class PauseTrial:
    """Save a checkpoint, free the worker, report `TrialPaused`; interrupt between two steps if need be."""

    trial_id: str
    lease: int
    save: bool = True
    """False: the newest checkpoint already is where the trial goes on from."""


@dataclass(frozen=True, slots=True)
class StopTrial:
    """Free the worker and report `TrialCompleted`; interrupt between two steps if need be."""

    trial_id: str
    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class DeleteCheckpoint:
    """Remove a checkpoint from the storage; it may be gone already."""

    checkpoint: CheckpointRef


TrialCommand = LaunchSegment | ContinueTrial | PauseTrial | StopTrial
"""What an executor carries out."""

Command = TrialCommand | DeleteCheckpoint
