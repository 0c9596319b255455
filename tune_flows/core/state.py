"""The experiment's state: a fold over the journal, and nothing else.

Rules of this module:

- `apply` is the only way the state changes, live and on replay alike, so fold(journal) is the live state.
- A record that is late (an older lease, a known iteration) or that comes twice changes nothing.
- Nothing is stored that can be computed from the rest, but for `live`, which is asked for on every step.
- A trial that was told to stop stops, whatever it was or is told besides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import Any

from tune_flows.core.decisions import (
    CheckpointDropped,
    ExperimentEnded,
    FaultJudged,
    Record,
    SearchExhausted,
    StopDecided,
    TrialContinued,
    TrialDecided,
    TrialLaunched,
    TrialOverruled,
    TrialSuggested,
)
from tune_flows.core.events import (
    CapacityChanged,
    CheckpointSaved,
    DriverStarted,
    Event,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    RulesChanged,
    StopRequested,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.core.lifecycle import moved
from tune_flows.core.rules import Rules
from tune_flows.core.trial import AUTOMATIC, Action, Result, Trial, TrialStatus

__all__ = ["ExperimentState"]


@dataclass(slots=True)
class ExperimentState:
    """All that an experiment knows, but for the inner state of its policies."""

    target: int | None = 0
    """Trials the experiment may have in all; None: without limit."""
    rules: Rules = field(default_factory=Rules)
    """Limits and budgets of the present session."""
    slots: int = 0
    """Trials the executor has room for at a time."""
    epoch: int = 0
    """How often a driver took the experiment over."""
    exhausted: bool = False
    """Whether the search algorithm has nothing left to propose."""
    stopping: str | None = None
    """Why the experiment ends early, once somebody asked for it."""
    ended: str | None = None
    """Why the experiment is over; None while it is not."""
    session_began: float | None = None
    """Unix time (s) at which the present driver began; None before the first."""
    now: float = 0.0
    """Unix time (s) of the newest record."""
    earlier_sessions_s: float = 0.0
    """Seconds that drivers before this one were at work."""
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    """By id, in order of creation."""
    reported: dict[str, None] = field(default_factory=dict[str, None])
    """Names of the metrics that have ever had a value, the automatic ones included."""
    copied: dict[str, None] = field(default_factory=dict[str, None])
    """Paths of checkpoints that another trial went on from: those that several trials may hold."""
    live: dict[str, None] = field(default_factory=dict[str, None])
    """Ids of the trials that are not final, in order of creation: what each step looks through."""

    @property
    def elapsed_s(self) -> float:
        """Seconds that drivers were at work on this experiment; downtime does not count."""
        return self.elapsed_at(self.now)

    def elapsed_at(self, now: float) -> float:
        """What `elapsed_s` is at `now` (Unix seconds), the present driver being at work until then."""
        session = 0.0 if self.session_began is None else max(now, self.now) - self.session_began
        return self.earlier_sessions_s + max(0.0, session)

    @property
    def may_create(self) -> bool:
        """Whether another trial could be suggested."""
        if self.exhausted or self.stopping or self.ended:
            return False
        return self.target is None or len(self.trials) < self.target

    def copy(self) -> "ExperimentState":
        """The same state, apart from now on: trials are values, so sharing them is safe."""
        return replace(
            self,
            trials=dict(self.trials),
            reported=dict(self.reported),
            copied=dict(self.copied),
            live=dict(self.live),
        )

    def live_trials(self) -> Iterator[Trial]:
        """The trials that are not final, oldest first."""
        return (self.trials[trial_id] for trial_id in self.live)

    def waiting_trials(self) -> Iterator[Trial]:
        """The trials that are PENDING or PAUSED, oldest first."""
        return (trial for trial in self.live_trials() if trial.status is not TrialStatus.RUNNING)

    def by_status(self) -> dict[TrialStatus, int]:
        """How many trials stand where; every status is a key."""
        counts = dict.fromkeys(TrialStatus, 0)
        for trial in self.trials.values():
            counts[trial.status] += 1
        return counts

    def at(self, now: float) -> None:
        """Time has come to `now` (Unix seconds); an earlier time than the newest changes nothing."""
        self.now = max(self.now, now)

    def holder(self, trial_id: str, lease: int) -> Trial | None:
        """The trial if `lease` is the one it holds at present, else None."""
        trial = self.trials.get(trial_id)
        held = trial is not None and trial.status is TrialStatus.RUNNING and trial.lease == lease
        return trial if held else None

    def fresh(self, event: ResultsReported) -> list[Result]:
        """The results of the event that are not known yet."""
        trial = self.holder(event.trial_id, event.lease)
        fresh: list[Result] = []
        known = trial.iteration if trial is not None else 0
        for result in event.results if trial is not None else ():
            if result.iteration > known:
                fresh.append(result)
                known = result.iteration
        return fresh

    def apply_result(self, trial_id: str, result: Result) -> Trial:
        """One fresh result; the trial as it is then."""
        trial = self.trials[trial_id]
        pending = Action.STOP if result.done else trial.pending
        trial = replace(trial, iteration=result.iteration, last_result=result, pending=pending)
        self.trials[trial_id] = trial
        if not self.reported:
            self.reported.update(dict.fromkeys(AUTOMATIC))
        for name, value in result.metrics.items():
            if value is not None and name not in self.reported:
                self.reported[name] = None
        return trial

    def _put(self, trial: Trial) -> None:
        self.trials[trial.trial_id] = trial
        if trial.status.is_final:
            self.live.pop(trial.trial_id, None)

    @singledispatchmethod
    def apply(self, record: Event | Record) -> None:
        """One record of the journal.

        Raises:
            InvalidTransition: The record asks of a trial what its status does not allow.
        """
        raise TypeError(f"not a record of the journal: {record!r}")

    @apply.register
    def _(self, record: DriverStarted) -> None:
        if record.epoch <= self.epoch:
            return
        self.epoch = record.epoch
        self.earlier_sessions_s = self.elapsed_s
        self.session_began = max(record.at, self.now)  # clocks differ: no second may count twice
        self.slots = 0
        for trial in list(self.live_trials()):
            if trial.status is TrialStatus.RUNNING:
                self._put(_left_behind(trial))

    @apply.register
    def _(self, record: ExperimentExtended) -> None:
        if record.target == self.target:
            return
        self.target = record.target
        self.exhausted = False
        self.ended = self.stopping = None

    @apply.register
    def _(self, record: RulesChanged) -> None:
        self.rules = record.rules

    @apply.register
    def _(self, record: CapacityChanged) -> None:
        self.slots = record.slots

    @apply.register
    def _(self, record: ResultsReported) -> None:
        for result in self.fresh(record):
            self.apply_result(record.trial_id, result)

    @apply.register
    def _(self, record: CheckpointSaved) -> None:
        trial = self.holder(record.trial_id, record.lease)
        if trial is None:
            return
        newest = trial.checkpoint
        if newest is not None and record.checkpoint.iteration <= newest.iteration:
            return  # a second copy, or the trial became a copy of another one at this very iteration
        self._put(replace(trial, checkpoints=(*trial.checkpoints, record.checkpoint)))

    @apply.register
    def _(self, record: TrialPaused) -> None:
        if trial := self.holder(record.trial_id, record.lease):
            stops = trial.pending is Action.STOP  # decided while it was pausing
            self._put(_released(trial, TrialStatus.TERMINATED if stops else TrialStatus.PAUSED))

    @apply.register
    def _(self, record: TrialCompleted) -> None:
        if trial := self.holder(record.trial_id, record.lease):
            reason = trial.reason or record.reason
            self._put(_released(trial, TrialStatus.TERMINATED, reason=reason))

    @apply.register
    def _(self, record: TrialFaulted) -> None:
        if trial := self.holder(record.trial_id, record.lease):
            ours = record.kind is FaultKind.TRAINABLE
            self._put(
                replace(
                    trial,
                    failures=trial.failures + ours,
                    infra_failures=trial.infra_failures + (not ours),
                    error=f"{record.message}\n{record.traceback}".strip(),
                )
            )

    @apply.register
    def _(self, record: StopRequested) -> None:
        self.stopping = self.stopping or record.reason

    @apply.register
    def _(self, record: TrialSuggested) -> None:
        self.trials[record.trial_id] = Trial(record.trial_id, record.config)
        self.live[record.trial_id] = None

    @apply.register
    def _(self, record: SearchExhausted) -> None:
        self.exhausted = True

    @apply.register
    def _(self, record: TrialLaunched) -> None:
        trial = self.trials[record.trial_id]
        self._put(moved(trial, TrialStatus.RUNNING, lease=record.lease, until=record.until))

    @apply.register
    def _(self, record: TrialContinued) -> None:
        self._put(replace(self.trials[record.trial_id], until=record.until))

    @apply.register
    def _(self, record: TrialDecided) -> None:
        trial = self.trials[record.trial_id]
        if record.source is not None and record.config is not None:
            source = self.trials[record.source].checkpoint
            start = (replace(source, iteration=record.iteration),) if source else ()
            self.copied.update((checkpoint.path, None) for checkpoint in start)
            trial = replace(trial, config=record.config, checkpoints=start)
        self._put(_told(trial, record.action, record.reason))

    @apply.register
    def _(self, record: TrialOverruled) -> None:
        self._put(_told(self.trials[record.trial_id], record.action, record.reason))

    @apply.register
    def _(self, record: FaultJudged) -> None:
        trial = self.trials[record.trial_id]
        failed = _released(trial, TrialStatus.ERRORED, reason="error")
        self._put(_left_behind(trial) if record.retry else failed)

    @apply.register
    def _(self, record: CheckpointDropped) -> None:
        trial = self.trials[record.trial_id]
        kept = tuple(c for c in trial.checkpoints if c.path != record.path)
        self._put(replace(trial, checkpoints=kept))

    @apply.register
    def _(self, record: StopDecided) -> None:
        self.stopping = self.stopping or record.reason

    @apply.register
    def _(self, record: ExperimentEnded) -> None:
        self.ended = record.reason


def _told(trial: Trial, action: Action, reason: str) -> Trial:
    """A trial that was told to stop or pause: at once without a worker, else once its worker has done so."""
    runs = trial.status is TrialStatus.RUNNING
    if action is Action.STOP:
        reason = trial.reason or reason
        if runs:
            return replace(trial, pending=action, reason=reason)
        return _released(trial, TrialStatus.TERMINATED, reason=reason)
    pauses = runs and action is Action.PAUSE and trial.pending is None
    return replace(trial, pending=action) if pauses else trial


def _left_behind(trial: Trial) -> Trial:
    """A trial whose worker is gone; one that was told to stop may still owe its last checkpoint."""
    if trial.pending is Action.PAUSE:
        return _released(trial, TrialStatus.PAUSED)
    return moved(trial, TrialStatus.PENDING, until=None)


def _released(trial: Trial, to: TrialStatus, **changes: Any) -> Trial:  # noqa: ANN401 - fields of Trial
    """A trial that holds no worker any more and has nothing left to be carried out."""
    return moved(trial, to, pending=None, until=None, **changes)
