"""How trials end, and how the policies are notified.

Rules of this module:

- Each policy is notified exactly once that a trial is over, when that is decided, and of nothing after it.
- After each notification the scheduler's `pending_decisions` are carried out until they stop no more trials.
"""

from collections.abc import Iterable

from tune_flows.core.decisions import DecisionRecord, TrialDecided, TrialOverruled, TrialSuggested
from tune_flows.core.errors import MetricNotReported, PolicyError
from tune_flows.core.objective import Objective
from tune_flows.core.trial import Action, Trial, TrialStatus
from tune_flows.runner.dispatch import Dispatcher
from tune_flows.runner.policy_calls import Policies
from tune_flows.runner.step_builder import StepBuilder

__all__ = ["TrialCompletion"]


class TrialCompletion:
    """Stops and pauses trials other than the one that reported, and notifies the policies of every end.

    Args:
        builder: The current loop iteration.
        policies: The policies to notify and to ask.
        dispatcher: Sends the commands to pause or stop to running trials.
        objective: The metric that must have been reported by the time the first trial ends.
    """

    def __init__(
        self, builder: StepBuilder, policies: Policies, dispatcher: Dispatcher, objective: Objective
    ) -> None:
        self._builder = builder
        self._policies = policies
        self._dispatcher = dispatcher
        self._metric = objective.metric
        builder.on_missed = self._catch_up

    def complete(self, trial: Trial) -> None:
        """Notify the policies that the trial completed, or was stopped at its own result.

        Raises:
            MetricNotReported: The trial reported results, but no trial has reported the metric. Final.
        """
        if trial.last_result is not None:
            self._require_metric(trial)
        self._policies.on_trial_complete(trial)
        self.consult()

    def consult(self) -> None:
        """Carry out the scheduler's decisions about other trials than the one it was just notified of."""
        while self._consult_once():
            pass

    def no_new_trials(self) -> None:
        """Notify the scheduler that no new trial will come, or none before a paused one continues."""
        self._policies.on_no_new_trials()
        self.consult()

    def stop_all(self, reason: str) -> None:
        """Stop all live trials, so that the experiment ends with the results so far."""
        for trial in list(self._builder.state.live_trials()):
            if trial.pending is not Action.STOP:
                self._overrule(trial, Action.STOP, reason)
            else:
                self.lost(trial)

    def lost(self, trial: Trial) -> None:
        """End a trial that was told to stop and has no worker any more.

        A trial that still has to save its final checkpoint does not end; it is launched again for that.
        """
        if trial.status is TrialStatus.RUNNING or not self.is_through(trial):
            return
        done = trial.last_result is not None and trial.last_result.done
        self._builder.decide(
            TrialOverruled(trial.trial_id, Action.STOP, "done" if done else "stopped"),
            TrialOverruled,
            trial_id=trial.trial_id,
        )

    def is_through(self, trial: Trial) -> bool:
        """Return whether the trial was told to stop and needs no worker to save a final checkpoint."""
        state = self._builder.state
        owes = state.rules.checkpoint_at_end and trial.iteration > 0 and not trial.is_saved
        return trial.pending is Action.STOP and (not owes or state.stopping is not None)

    def require_metric(self, trials: Iterable[Trial]) -> None:
        """Check, once all trials are over, that the metric was reported.

        Raises:
            MetricNotReported: No trial has failed, and none has ever reported the metric. Final.
        """
        ended = list(trials)
        if ended and all(trial.status is TrialStatus.TERMINATED for trial in ended):
            self._require_metric(ended[-1])

    def _require_metric(self, trial: Trial) -> None:
        state = self._builder.state
        if self._metric is None or self._metric in state.reported or state.stopping is not None:
            return
        seen = ", ".join(sorted(trial.metrics)) or "nothing"
        raise MetricNotReported(
            f"metric: got {self._metric!r}, expected a metric that the trainable reports. "
            f"{trial.trial_id} ended after {trial.iteration} iteration(s) and reported: {seen}."
        )

    def _consult_once(self) -> bool:
        """Carry out the pending decisions; return whether a trial was stopped, as more may follow then."""
        stopped = False
        for trial_id, action in self._policies.pending_decisions().items():
            trial = self._builder.state.trials.get(trial_id)
            if trial is None:
                raise PolicyError(
                    f"{self._policies.scheduler.kind()}.pending_decisions: got {trial_id!r}, expected the id "
                    "of a trial of this experiment."
                )
            if _is_news(trial, action):
                stopped |= self._overrule(trial, action, self._reason(action))
        return stopped

    def _overrule(self, trial: Trial, action: Action, reason: str) -> bool:
        proposed = TrialOverruled(trial.trial_id, action, reason)
        return self._carry_out(self._builder.decide(proposed, TrialOverruled, trial_id=trial.trial_id))

    def _carry_out(self, overruled: TrialOverruled | None) -> bool:
        """Carry out the decision; return whether the trial ended, with the policies notified."""
        if overruled is None:
            return False
        trial = self._builder.state.trials[overruled.trial_id]
        if trial.status is TrialStatus.RUNNING:
            self._dispatcher.end(trial)
        if overruled.action is not Action.STOP:
            return False
        self._policies.on_trial_complete(trial)
        return True

    def _reason(self, action: Action) -> str:
        return f"{'stopped' if action is Action.STOP else 'paused'} by {self._policies.scheduler.kind()}"

    def _catch_up(self, record: DecisionRecord) -> None:
        """Notify the policies of a recorded decision that they did not make on replay."""
        match record:
            case TrialSuggested():
                self._policies.on_trial_add(self._builder.state.trials[record.trial_id])
            case TrialOverruled(action=Action.STOP) | TrialDecided(action=Action.STOP):
                self._policies.on_trial_complete(self._builder.state.trials[record.trial_id])
            case _:
                pass


def _is_news(trial: Trial, action: Action) -> bool:
    if action is Action.STOP:
        return not trial.status.is_final and trial.pending is not Action.STOP
    return trial.status is TrialStatus.RUNNING and trial.pending is None
