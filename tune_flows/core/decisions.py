"""What was decided: the runner's answers, recorded beside the events that they answer.

A decision is written so that replaying the journal needs no policy: the fold applies it as it stands.
CONTINUE is the absence of a `TrialDecided`.
"""

from dataclasses import dataclass
from typing import Any

from tune_flows.core.events import Event
from tune_flows.core.trial import Action

__all__ = [
    "CONTINUE",
    "PAUSE",
    "STOP",
    "YIELD",
    "CheckpointDropped",
    "Decision",
    "DecisionRecord",
    "ExperimentEnded",
    "FaultJudged",
    "Record",
    "SearchExhausted",
    "StopDecided",
    "TrialContinued",
    "TrialDecided",
    "TrialLaunched",
    "TrialOverruled",
    "TrialSuggested",
    "exploit",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """A scheduler's word on one trial."""

    action: Action
    source: str | None = None
    """Trial whose newest checkpoint this trial goes on from; None: its own."""
    config: dict[str, Any] | None = None
    """Config this trial goes on with; None: its own."""


CONTINUE = Decision(Action.CONTINUE)
PAUSE = Decision(Action.PAUSE)
STOP = Decision(Action.STOP)
YIELD = Decision(Action.YIELD)


def exploit(source: str, config: dict[str, Any], *, then: Action = Action.CONTINUE) -> Decision:
    """Go on from the newest checkpoint of trial `source` with `config`, then do as `then` says.

    A source without a checkpoint, or a `then` of STOP, leaves the trial as it is.
    """
    return Decision(then, source, config)


@dataclass(frozen=True, slots=True)
class TrialSuggested:
    """The search algorithm proposed a configuration; the trial exists from here on."""

    trial_id: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchExhausted:
    """The search algorithm has nothing left to propose."""


@dataclass(frozen=True, slots=True)
class TrialLaunched:
    """The trial was granted a worker and trains until the decision point."""

    trial_id: str
    lease: int
    until: int | None


@dataclass(frozen=True, slots=True)
class TrialContinued:
    """The waiting worker trains on to the next decision point."""

    trial_id: str
    until: int | None


@dataclass(frozen=True, slots=True)
class TrialDecided:
    """PAUSE, STOP or a new start for the trial that reported; a mere CONTINUE is not recorded."""

    trial_id: str
    iteration: int
    action: Action
    reason: str = ""
    source: str | None = None
    config: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TrialOverruled:
    """STOP or PAUSE for a trial that did not just report.

    The scheduler's word, the end of the experiment, or the end of a stopped trial whose worker is gone.
    """

    trial_id: str
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class FaultJudged:
    """Whether the trial that faulted may go on."""

    trial_id: str
    retry: bool


@dataclass(frozen=True, slots=True)
class CheckpointDropped:
    """A checkpoint that nobody needs any more may be deleted."""

    trial_id: str
    path: str


@dataclass(frozen=True, slots=True)
class StopDecided:
    """The experiment ends early, with what it has."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExperimentEnded:
    """Nothing is left to do."""

    reason: str


DecisionRecord = (
    TrialSuggested
    | SearchExhausted
    | TrialLaunched
    | TrialContinued
    | TrialDecided
    | TrialOverruled
    | FaultJudged
    | CheckpointDropped
    | StopDecided
    | ExperimentEnded
)
"""A decision that was taken."""

Record = Event | DecisionRecord
"""A line of the journal: what happened, or what was decided."""
