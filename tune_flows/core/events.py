"""Events: the runner's only input, recorded in the journal before they have any effect.

Rules of this module:

- An event from a worker names its trial and lease; an event of an older lease, or a duplicate event,
  changes nothing.
- Times are Unix seconds and are passed in; nothing here reads a clock.
"""

from dataclasses import dataclass
from enum import StrEnum

from tune_flows.core.rules import Rules
from tune_flows.core.trial import CheckpointRef, Result

__all__ = [
    "CapacityChanged",
    "CheckpointSaved",
    "DriverStarted",
    "DriverStopped",
    "Event",
    "ExperimentExtended",
    "FaultKind",
    "ResultsReported",
    "RulesChanged",
    "StopRequested",
    "TrialCompleted",
    "TrialFaulted",
    "TrialPaused",
    "TrialsReopened",
]


class FaultKind(StrEnum):
    """Kind of the fault that ended a lease."""

    TRAINABLE = "trainable"
    """The user's code raised an exception."""
    INFRASTRUCTURE = "infrastructure"
    """The worker, its node or the storage was lost, or a step hung."""
    RESTORE = "restore"
    """The checkpoint to resume from could not be fetched."""
    PREEMPTION = "preemption"
    """The cluster removed the worker's node after announcing it; counts in no failure budget."""


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """A driver took over the experiment; all workers of the previous driver are gone."""

    epoch: int
    at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class DriverStopped:
    """The session was stopped before the experiment ended: all workers are gone, a later one continues."""

    at: float
    """Unix time in seconds."""
    reason: str
    """Why, in a few words."""


@dataclass(frozen=True, slots=True)
class ExperimentExtended:
    """The experiment may now have `target` trials in all."""

    target: int | None
    """Maximum number of trials; None: no limit."""


@dataclass(frozen=True, slots=True)
class TrialsReopened:
    """The experiment and these trials, which were over, continue; each trial has a new failure budget."""

    trial_ids: tuple[str, ...]
    """Ids of the trials; may be empty, then only the experiment continues."""
    restart: bool = False
    """Whether the trials start from scratch, which discards their results and checkpoints so far."""


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """From now on, the runner applies these limits and budgets."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    """The executor can now run `slots` trials at the same time."""

    slots: int


@dataclass(frozen=True, slots=True)
class ResultsReported:
    """Results of the training iterations since the worker's last report, in order."""

    trial_id: str
    lease: int
    results: tuple[Result, ...]
    waits: bool = False
    """Whether the worker has reached its decision point and waits there."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint of the trial is durable.

    Precedes the result of its iteration directly, or comes later, if training continued during the upload.
    """

    trial_id: str
    lease: int
    checkpoint: CheckpointRef
    interim: bool = False
    """Whether it was saved only because the session is being stopped."""


@dataclass(frozen=True, slots=True)
class TrialPaused:
    """The trial was paused as commanded and its worker is free."""

    trial_id: str
    lease: int


@dataclass(frozen=True, slots=True)
class TrialCompleted:
    """The trial ended without a fault and its worker is free."""

    trial_id: str
    lease: int
    reason: str
    """Why, in a few words: `returned`, `done`, a stop criterion, `stopped`."""


@dataclass(frozen=True, slots=True)
class TrialFaulted:
    """The lease ended with a fault; the worker is gone."""

    trial_id: str
    lease: int
    kind: FaultKind
    message: str
    """The error in one line."""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The experiment was requested to end now, with the results so far."""

    reason: str


Event = (
    DriverStarted
    | DriverStopped
    | ExperimentExtended
    | TrialsReopened
    | RulesChanged
    | CapacityChanged
    | ResultsReported
    | CheckpointSaved
    | TrialPaused
    | TrialCompleted
    | TrialFaulted
    | StopRequested
)
