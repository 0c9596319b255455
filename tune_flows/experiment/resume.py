"""The changes that a new session makes to an experiment: new limits, more samples, reopened trials.

They are computed from the state and the caller's current request, and recorded as events, so that a replay
does not need this module.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tune_flows.core.events import Event, ExperimentExtended, RulesChanged, TrialsReopened
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, Trial, TrialStatus
from tune_flows.stoppers import StopCriteria

__all__ = ["Resume", "SessionRequest"]

Resume = Literal["auto", "never", "must", "errored", "restart_errored"]
"""Whether an existing experiment is resumed or a new one is begun.

auto: resume it, or begin it. never: begin it; it must not exist. must: resume it; it must exist.
errored: auto, and ERRORED trials run again from their newest checkpoints. restart_errored: from scratch.
"""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """The caller's request for a session: limits, number of trials, resume mode."""

    rules: Rules
    target: int | None
    """Total number of trials; None: unlimited."""
    objective: Objective
    resume: Resume = "auto"

    def is_fulfilled(self, state: ExperimentState) -> bool:
        """Return whether an experiment in `state` has nothing left to do for this request."""
        if state.ended is None:
            return False
        return self._is_held_back(state) or not (self._grows(state) or self._reopens(state))

    def events(self, state: ExperimentState) -> list[Event]:
        """Return the first events of a session that begins in `state`."""
        if self._is_held_back(state):
            # Extensions wait for a session that can run trials: until then the state must not include them.
            rules = replace(self.rules, stop=state.rules.stop)
            return [RulesChanged(rules)] if state.rules != rules else []
        first: list[Event] = []
        if state.rules != self.rules:
            first.append(RulesChanged(self.rules))
        first += self._reopens(state)
        if state.target != self.target:
            first.append(ExperimentExtended(self.target))
        return first

    def _is_held_back(self, state: ExperimentState) -> bool:
        """Return whether no trial may run: the time is spent, or `fail_fast` ended the experiment."""
        return self._is_out_of_time(state) or (self._failed_fast(state) and not self._is_lifted(state))

    def _is_out_of_time(self, state: ExperimentState) -> bool:
        budget = self.rules.time_budget_s
        return budget is not None and state.elapsed_s >= budget

    def _grows(self, state: ExperimentState) -> bool:
        return state.target is not None and (self.target is None or self.target > state.target)

    def _reopens(self, state: ExperimentState) -> Sequence[TrialsReopened]:
        """Return the events that reopen trials; one without trials if only the experiment is reopened."""
        restarts = self.resume == "restart_errored"
        again = list(self._errored(state))
        on = [*self._longer(state), *([] if restarts else again)]
        lifted = self._is_lifted(state)
        if lifted:
            on += self._cut_off(state)
        events: list[TrialsReopened] = []
        if on or lifted:
            events.append(TrialsReopened(tuple(sorted(on))))
        if restarts and again:
            events.append(TrialsReopened(tuple(again), restart=True))
        return events

    def _errored(self, state: ExperimentState) -> Iterator[str]:
        if self.resume in ("errored", "restart_errored"):
            yield from (t.trial_id for t in state.trials.values() if t.status is TrialStatus.ERRORED)

    def _longer(self, state: ExperimentState) -> Iterator[str]:
        """Yield the trials that ended at a threshold of `stop` but do not reach that of the new `stop`."""
        if self.rules.stop == state.rules.stop:
            return
        then, now = self._criteria(state.rules), self._criteria(self.rules)
        for trial in state.trials.values():
            last = trial.last_result
            if _ends(trial) and last is not None and last.done:
                if then.reason(last) and not now.reason(last):
                    yield trial.trial_id

    def _is_lifted(self, state: ExperimentState) -> bool:
        """Return whether the limit that ended the experiment early no longer applies."""
        if state.stopping is None:
            return False
        if state.rules.time_budget_s is not None and state.elapsed_s >= state.rules.time_budget_s:
            return not self._is_out_of_time(state)
        return self._failed_fast(state) and (not self.rules.fail_fast or any(self._errored(state)))

    def _failed_fast(self, state: ExperimentState) -> bool:
        """Return whether `fail_fast` has ended the experiment, or is ending it, after a failed trial."""
        early = state.stopping is not None and bool(state.rules.fail_fast)
        return early and state.by_status()[TrialStatus.ERRORED] > 0

    def _cut_off(self, state: ExperimentState) -> Iterator[str]:
        """Yield the trials that ended only because the experiment did."""
        for trial in state.trials.values():
            itself = trial.last_result is not None and trial.last_result.done
            if _ends(trial) and trial.reason == state.stopping and not itself:
                yield trial.trial_id

    def _criteria(self, rules: Rules) -> StopCriteria:
        return StopCriteria.parse(rules.stop, metric=self.objective.metric, mode=self.objective.mode)


def _ends(trial: Trial) -> bool:
    """Return whether the trial has ended normally, or its stop was decided but not yet completed."""
    return trial.status is TrialStatus.TERMINATED or trial.pending is Action.STOP
