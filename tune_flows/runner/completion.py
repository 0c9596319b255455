"""How trials come to their end, and who hears of it.

Rules of this module:

- Each policy is told exactly once that a trial is over, when that is decided, and of nothing after it.
- After everything that it is told, the scheduler is asked about other trials until it has nothing to say.
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
    """Ends and pauses trials that did not ask for it, and tells the policies of every end.

    Args:
        turn: The loop iteration under way.
        policies: To be told and asked.
        orders: Where running trials are told to pause or stop.
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
        """The trial ended in order, or was stopped at its own result.

        Raises:
            MetricNotReported: It reported, but neither it nor any other trial the metric. Final.
        """
        if trial.last_result is not None:
            self._require_metric(trial)
        self._policies.on_trial_complete(trial)
        self.consult()

    def consult(self) -> None:
        """Carry out what the scheduler has decided about trials other than the one that it heard of."""
        while self._consult_once():
            pass

    def no_new_trials(self) -> None:
        """None will come any more, or none can until paused ones go on: the scheduler decides with these."""
        self._policies.on_no_new_trials()
        self.consult()

    def stop_all(self, reason: str) -> None:
        """End the experiment with what it has."""
        for trial in list(self._builder.state.live_trials()):
            if trial.pending is not Action.STOP:
                self._overrule(trial, Action.STOP, reason)
            else:
                self.lost(trial)

    def lost(self, trial: Trial) -> None:
        """The trial has no worker any more: if it was told to stop it ends here.

        Unless its last checkpoint is missing that it is to save at its end; it is launched again for that.
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
        """Whether it was told to stop and needs no worker for that any more: it owes no checkpoint."""
        state = self._builder.state
        owes = state.rules.checkpoint_at_end and trial.iteration > 0 and not trial.is_saved
        return trial.pending is Action.STOP and (not owes or state.stopping is not None)

    def require_metric(self, trials: Iterable[Trial]) -> None:
        """All trials are over.

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
        """Whether a trial was stopped, so that there may be more to say."""
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
        """Whether that was the end of the trial, and the policies were told."""
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
        """Tell the policies what was decided without them."""
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
