"""What happened: the runner's only input. Recorded in the journal before anything follows from it.

Rules of this module:

- An event of a worker names its trial and lease; an event of an older lease, or a second copy of
  an event, changes nothing.
- Times are Unix seconds and come from outside; nothing here reads a clock.
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
    """Whose fault ended a lease."""

    TRAINABLE = "trainable"
    """The user's code raised."""
    INFRASTRUCTURE = "infrastructure"
    """The worker, its node or the storage was lost, or a step hung."""
    RESTORE = "restore"
    """The checkpoint to go on from could not be fetched."""
    PREEMPTION = "preemption"
    """The cluster took the worker's node away and had said so; counts in no budget."""


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """A driver took the experiment over: every worker of the one before is gone."""

    epoch: int
    at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class DriverStopped:
    """The session ended in order before the experiment did: every worker is gone, the next one goes on."""

    at: float
    """Unix time in seconds."""
    reason: str
    """Why, in a few words."""


@dataclass(frozen=True, slots=True)
class ExperimentExtended:
    """The experiment may now have `target` trials in all."""

    target: int | None
    """None: without limit."""


@dataclass(frozen=True, slots=True)
class TrialsReopened:
    """These trials, which were over, run again, each with a new failure budget; so does the experiment."""

    trial_ids: tuple[str, ...]
    """May be empty: the experiment alone goes on."""
    restart: bool = False
    """Whether they begin from scratch: the results and checkpoints of their life so far are void."""


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """From here on the runner goes by these limits and budgets."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class CapacityChanged:
    """The executor has room for `slots` trials at a time."""

    slots: int


@dataclass(frozen=True, slots=True)
class ResultsReported:
    """Training iterations a worker has done since it last reported, in order."""

    trial_id: str
    lease: int
    results: tuple[Result, ...]
    waits: bool = False
    """Whether the worker has come to its decision point and now waits there."""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint of the trial is durable.

    Comes right before the result of its iteration, or later: training goes on while it is uploaded.
    """

    trial_id: str
    lease: int
    checkpoint: CheckpointRef
    interim: bool = False
    """Whether it was saved only because the session is being stopped."""


@dataclass(frozen=True, slots=True)
class TrialPaused:
    """The worker of a trial that was told to pause is free."""

    trial_id: str
    lease: int


@dataclass(frozen=True, slots=True)
class TrialCompleted:
    """The trial has ended in order and its worker is free."""

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
    """One line."""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody asked that the experiment end now, with what it has."""

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
