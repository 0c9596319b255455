"""The experiment's state, computed as a fold over the journal.

Rules of this module:

- The state changes only through `apply`, both live and on replay, so fold(journal) equals the live state.
- A late record (with an older lease or a known iteration) and a duplicate record change nothing.
- Nothing that can be computed from other fields is stored, except `live`, which is read on every step.
- A STOP for a trial overrides all its earlier and later actions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

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
    DriverStopped,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    RulesChanged,
    StopRequested,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
    TrialsReopened,
)
from tune_flows.core.lifecycle import released, reopened, request, requeue, suspend, transition
from tune_flows.core.rules import Rules
from tune_flows.core.trial import AUTOMATIC, Action, Result, Trial, TrialStatus

__all__ = ["ExperimentState"]


@dataclass(slots=True)
class ExperimentState:
    """The complete state of an experiment, except for the internal state of its policies."""

    target: int | None = 0
    """Maximum number of trials of the experiment; None: no limit."""
    rules: Rules = field(default_factory=Rules)
    """Limits and budgets of the current session."""
    slots: int = 0
    """Number of trials that the executor can run at the same time."""
    epoch: int = 0
    """Number of times that a driver has taken over the experiment."""
    exhausted: bool = False
    """Whether the search algorithm has nothing left to propose."""
    stopping: str | None = None
    """Why the experiment ends early; None if no early end was requested or decided."""
    ended: str | None = None
    """Why the experiment has ended; None if it has not."""
    session_began: float | None = None
    """Unix time (s) at which the current driver started; None if there is none."""
    now: float = 0.0
    """Unix time (s) of the newest record."""
    earlier_sessions_s: float = 0.0
    """Seconds that earlier drivers worked on the experiment."""
    stopped: str | None = None
    """Why the latest session was stopped before the experiment ended; None while a driver works on it."""
    held: dict[str, None] = field(default_factory=dict[str, None])
    """Ids of trials that were running when the session was stopped: PAUSED until the next session starts."""
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])
    """The trials by id, in order of creation."""
    reported: dict[str, None] = field(default_factory=dict[str, None])
    """Names of all metrics that have had a value so far, including the automatic ones."""
    copied: dict[str, None] = field(default_factory=dict[str, None])
    """Paths of checkpoints that were copied to another trial, so several trials may hold them."""
    live: dict[str, None] = field(default_factory=dict[str, None])
    """Ids of the trials that are not final, in order of creation; scanned on every step."""

    @property
    def elapsed_s(self) -> float:
        """Seconds that drivers worked on this experiment; time without a driver does not count."""
        return self.elapsed_at(self.now)

    def elapsed_at(self, now: float) -> float:
        """Return `elapsed_s` at `now` (Unix seconds), assuming that the current driver works until then."""
        session = 0.0 if self.session_began is None else max(now, self.now) - self.session_began
        return self.earlier_sessions_s + max(0.0, session)

    @property
    def may_create(self) -> bool:
        """Whether another trial may be suggested."""
        if self.exhausted or self.stopping or self.ended:
            return False
        return self.target is None or len(self.trials) < self.target

    def copy(self) -> "ExperimentState":
        """Return an independent copy; the trials are immutable, so both copies share them."""
        return replace(
            self,
            trials=dict(self.trials),
            reported=dict(self.reported),
            copied=dict(self.copied),
            live=dict(self.live),
            held=dict(self.held),
        )

    def live_trials(self) -> Iterator[Trial]:
        """Return the trials that are not final, oldest first."""
        return (self.trials[trial_id] for trial_id in self.live)

    def waiting_trials(self) -> Iterator[Trial]:
        """Return the trials that are PENDING or PAUSED, oldest first."""
        return (trial for trial in self.live_trials() if trial.status is not TrialStatus.RUNNING)

    def by_status(self) -> dict[TrialStatus, int]:
        """Return the number of trials in each status; every status is a key."""
        counts = dict.fromkeys(TrialStatus, 0)
        for trial in self.trials.values():
            counts[trial.status] += 1
        return counts

    def at(self, now: float) -> None:
        """Advance the time to `now` (Unix seconds); an earlier time than the current one changes nothing."""
        self.now = max(self.now, now)

    def holder(self, trial_id: str, lease: int) -> Trial | None:
        """Return the trial if it is running under `lease`, else None."""
        trial = self.trials.get(trial_id)
        held = trial is not None and trial.status is TrialStatus.RUNNING and trial.lease == lease
        return trial if held else None

    def fresh(self, event: ResultsReported) -> list[Result]:
        """Return the results of the event that are not in the state yet."""
        trial = self.holder(event.trial_id, event.lease)
        fresh: list[Result] = []
        known = trial.iteration if trial is not None else 0
        for result in event.results if trial is not None else ():
            if result.iteration > known:
                fresh.append(result)
                known = result.iteration
        return fresh

    def apply_result(self, trial_id: str, result: Result) -> Trial:
        """Apply one fresh result and return the updated trial."""
        trial = self.trials[trial_id]
        pending = Action.STOP if result.done else trial.pending
        trial = replace(
            trial,
            iteration=result.iteration,
            last_result=result,
            pending=pending,
            iterations_since_restore=result.iteration - trial.restored_at,
        )
        self.trials[trial_id] = trial
        if not self.reported:
            self.reported.update(dict.fromkeys(AUTOMATIC))
        for name, value in result.metrics.items():
            if value is not None and name not in self.reported:
                self.reported[name] = None
        return trial

    def _saves_at_end(self, trial: Trial) -> bool:
        """Return whether the trial ends here and keeps its interim checkpoint as the final one."""
        at_end = trial.interim is not None and trial.interim.iteration == trial.iteration
        return at_end and trial.pending is Action.STOP and self.rules.checkpoint_at_end

    def _put(self, trial: Trial) -> None:
        self.trials[trial.trial_id] = trial
        if trial.status.is_final:
            self.live.pop(trial.trial_id, None)

    @singledispatchmethod
    def apply(self, record: Record) -> None:
        """Apply one record of the journal.

        Raises:
            InvalidTransition: The record requires a transition that the trial's status does not allow.
        """
        raise TypeError(f"not a record of the journal: {record!r}")

    @apply.register
    def _(self, record: DriverStarted) -> None:
        if record.epoch <= self.epoch:
            return
        self.epoch = record.epoch
        self.earlier_sessions_s = self.elapsed_s
        self.session_began = max(record.at, self.now)  # clocks differ: never count a second twice
        self.stopped = None
        self.slots = 0
        for trial in list(self.live_trials()):
            if trial.status is TrialStatus.RUNNING:
                self._put(requeue(trial))
            elif trial.trial_id in self.held:
                self._put(transition(trial, TrialStatus.PENDING))
        self.held = {}

    @apply.register
    def _(self, record: DriverStopped) -> None:
        if self.session_began is None:
            return
        self.earlier_sessions_s = self.elapsed_at(record.at)
        self.session_began = None
        self.stopped = record.reason
        for trial in list(self.live_trials()):
            if trial.status is TrialStatus.RUNNING:
                if trial.pending is not Action.PAUSE:  # else the scheduler paused it
                    self.held[trial.trial_id] = None
                saves = trial.pending is Action.PAUSE or self._saves_at_end(trial)
                self._put(suspend(trial.without_interim(keep=True) if saves else trial))

    @apply.register
    def _(self, record: ExperimentExtended) -> None:
        if record.target == self.target:
            return
        self.target = record.target
        self.exhausted = False
        self.ended = self.stopping = None

    @apply.register
    def _(self, record: TrialsReopened) -> None:
        self.ended = self.stopping = None
        over = {i for i in record.trial_ids if i in self.trials and self.trials[i].is_over}
        for trial_id in over:
            self.trials[trial_id] = reopened(self.trials[trial_id], restart=record.restart)
        self.live = {trial_id: None for trial_id in self.trials if trial_id in self.live or trial_id in over}

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
        newest, saved = trial.checkpoint, record.checkpoint
        if newest is not None and saved.iteration <= newest.iteration:
            return  # a duplicate, or the trial became a copy of another one at this iteration
        if record.interim:
            self._put(replace(trial, interim=saved))
            return
        kept = trial.interim if trial.interim and trial.interim.iteration > saved.iteration else None
        self._put(replace(trial, checkpoints=(*trial.checkpoints, saved), interim=kept))

    @apply.register
    def _(self, record: TrialPaused) -> None:
        if trial := self.holder(record.trial_id, record.lease):
            stops = trial.pending is Action.STOP  # decided while it was pausing
            self._put(released(trial, TrialStatus.TERMINATED if stops else TrialStatus.PAUSED))

    @apply.register
    def _(self, record: TrialCompleted) -> None:
        if trial := self.holder(record.trial_id, record.lease):
            reason = trial.reason or record.reason
            trial = trial.without_interim(keep=self._saves_at_end(trial))
            self._put(released(trial, TrialStatus.TERMINATED, reason=reason))

    @apply.register
    def _(self, record: TrialFaulted) -> None:
        if trial := self.holder(record.trial_id, record.lease):
            unfetched = trial.start if record.kind is FaultKind.RESTORE else None
            self._put(
                replace(
                    trial,
                    failures=trial.failures + (record.kind is FaultKind.TRAINABLE),
                    infra_failures=trial.infra_failures + (record.kind is FaultKind.INFRASTRUCTURE),
                    restore_failures=trial.restore_failures + (record.kind is FaultKind.RESTORE),
                    unfetched=unfetched.path if unfetched else trial.unfetched,
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
        begun = {"lease": record.lease, "restored_at": trial.start.iteration if trial.start else 0}
        self._put(transition(trial, TrialStatus.RUNNING, until=record.until, **begun))

    @apply.register
    def _(self, record: TrialContinued) -> None:
        self._put(replace(self.trials[record.trial_id], until=record.until))

    @apply.register
    def _(self, record: TrialDecided) -> None:
        trial = self.trials[record.trial_id]
        if record.source is not None and record.config is not None:
            source = self.trials[record.source].checkpoint
            start = replace(source, iteration=record.iteration) if source else None
            if start is not None:
                self.copied[start.path] = None
            trial = trial.as_copy(record.config, start, keep=self.rules.num_to_keep is None)
        self._put(request(trial, record.action, record.reason))

    @apply.register
    def _(self, record: TrialOverruled) -> None:
        self._put(request(self.trials[record.trial_id], record.action, record.reason))

    @apply.register
    def _(self, record: FaultJudged) -> None:
        trial = self.trials[record.trial_id]
        failed = released(trial, TrialStatus.ERRORED, reason="error")
        self._put(requeue(trial) if record.retry else failed)

    @apply.register
    def _(self, record: CheckpointDropped) -> None:
        trial = self.trials[record.trial_id]
        kept = tuple(c for c in trial.checkpoints if c.path != record.path)
        interim = trial.interim if trial.interim and trial.interim.path != record.path else None
        self._put(replace(trial, checkpoints=kept, interim=interim))

    @apply.register
    def _(self, record: StopDecided) -> None:
        self.stopping = self.stopping or record.reason

    @apply.register
    def _(self, record: ExperimentEnded) -> None:
        self.ended = record.reason
