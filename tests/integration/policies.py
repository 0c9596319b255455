"""Policies of one's own, named by import path in the tests."""

from pydantic import Field, PrivateAttr

from tune_flows.core.decisions import CONTINUE, STOP, Decision
from tune_flows.core.trial import Result, Trial
from tune_flows.schedulers import TrialScheduler


class StopAt(TrialScheduler):
    """Stops each trial one iteration later than the one before; decides at every step."""

    first: int = Field(default=2, ge=1)
    _limits: dict[str, int] = PrivateAttr(default_factory=dict[str, int])

    def on_trial_add(self, trial: Trial) -> None:
        self._limits[trial.trial_id] = self.first + len(self._limits)

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        return STOP if result.iteration >= self._limits[trial.trial_id] else CONTINUE


class Broken(TrialScheduler):
    """Raises at the third iteration."""

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        if result.iteration == 3:
            raise RuntimeError("a bug in a policy")
        return CONTINUE
