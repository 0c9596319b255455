"""Decisions: the runner's answers to events, recorded in the journal next to these events.

A decision record contains everything that a replay needs: the fold applies it without calling a policy.
CONTINUE is not recorded; it is implied if there is no `TrialDecided`.
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
    """A scheduler's decision on one trial."""

    action: Action
    source: str | None = None
    """Id of the trial from whose newest checkpoint this trial continues; None: its own."""
    config: dict[str, Any] | None = None
    """Configuration with which this trial continues; None: its own."""


CONTINUE = Decision(Action.CONTINUE)
PAUSE = Decision(Action.PAUSE)
STOP = Decision(Action.STOP)
YIELD = Decision(Action.YIELD)


def exploit(source: str, config: dict[str, Any], *, then: Action = Action.CONTINUE) -> Decision:
    """Continue from the newest checkpoint of trial `source` with `config`, then perform the action `then`.

    If the source has no checkpoint, or `then` is STOP, the trial keeps its own state and configuration.
    """
    return Decision(then, source, config)


@dataclass(frozen=True, slots=True)
class TrialSuggested:
    """The search algorithm suggested a configuration; the trial now exists."""

    trial_id: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchExhausted:
    """The search algorithm has no more configurations to suggest."""


@dataclass(frozen=True, slots=True)
class TrialLaunched:
    """The trial was granted a worker and trains until the decision point."""

    trial_id: str
    lease: int
    until: int | None


@dataclass(frozen=True, slots=True)
class TrialContinued:
    """The waiting worker continues to train until the next decision point."""

    trial_id: str
    until: int | None


@dataclass(frozen=True, slots=True)
class TrialDecided:
    """PAUSE, STOP or an exploit for the trial that reported; a plain CONTINUE is not recorded."""

    trial_id: str
    iteration: int
    action: Action
    reason: str = ""
    source: str | None = None
    config: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TrialOverruled:
    """STOP or PAUSE for a trial that did not just report.

    Caused by the scheduler, by the end of the experiment, or by the lost worker of a stopped trial.
    """

    trial_id: str
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class FaultJudged:
    """Whether the trial that faulted is retried."""

    trial_id: str
    retry: bool


@dataclass(frozen=True, slots=True)
class CheckpointDropped:
    """The trial no longer needs this checkpoint, so it may be deleted."""

    trial_id: str
    path: str


@dataclass(frozen=True, slots=True)
class StopDecided:
    """The experiment ends early, with the results so far."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExperimentEnded:
    """The experiment has ended: nothing is left to do."""

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
"""Any decision in the journal."""

Record = Event | DecisionRecord
"""A record of the journal: an event or a decision."""
