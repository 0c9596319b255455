"""Asynchronous successive halving.

Li et al. 2018, "A System for Massively Parallel Hyperparameter Tuning", arXiv:1810.05934, in the stopping
form that Ray Tune made common: Algorithm 2 promotes waiting trials; here a trial continues unless it is bad.
"""

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from tune_flows.core.decisions import CONTINUE, STOP, Decision
from tune_flows.core.objective import Objective
from tune_flows.core.policy import Rng, new_rng
from tune_flows.core.schema import InvalidValue
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial
from tune_flows.schedulers.base import TrialScheduler

__all__ = ["ASHAScheduler"]

_ITERATION = "training_iteration"


class ASHAScheduler(TrialScheduler):
    """Stops a trial at a rung (`grace_period`, times `reduction_factor`, ...) when others did better there.

    The first trial at a rung continues. A later one is stopped if its score is below the
    (1 - 1/reduction_factor) percentile of the scores recorded there before. A score that is not a finite
    number is never recorded, and stops its trial unless the rung is empty. After a result without the metric,
    the trial is judged at the next result that has it.
    """

    model_config = ConfigDict(title="ASHA")
    needs_metric: ClassVar[bool] = True

    type: Literal["asha"] = "asha"
    time_attr: str = Field(
        default=_ITERATION,
        min_length=1,
        description="What max_t and grace_period count: training_iteration, time_total_s, a growing metric.",
    )
    max_t: int = Field(default=100, ge=1, description="Longest training of a trial, in units of time_attr.")
    grace_period: int = Field(default=1, ge=1, description="First rung: no trial is stopped before it.")
    reduction_factor: float = Field(
        default=4, ge=1.1, allow_inf_nan=False, description="At a rung about one of that many trials goes on."
    )
    brackets: int = Field(
        default=1, ge=1, description="Groups of trials; each has its first rung reduction_factor times later."
    )
    stop_last_trials: bool = Field(default=True, description="Whether a trial is stopped at max_t.")
    seed: int | None = Field(default=None, ge=0, description="Seed for the choice of brackets.")

    _objective: Objective = PrivateAttr()
    _rng: Rng = PrivateAttr()
    _recorded: list[list[list[float]]] = PrivateAttr()  # scores by bracket and rung, ascending
    _bracket: dict[str, int] = PrivateAttr(default_factory=dict[str, int])
    _judged: dict[str, int] = PrivateAttr(default_factory=dict[str, int])  # the last rung it was judged at

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.grace_period > self.max_t:
            raise InvalidValue(
                self.grace_period, f"at most max_t, which is {self.max_t}", where="grace_period"
            )
        rungs = len(self.rungs(0))
        if self.brackets > rungs:
            raise InvalidValue(
                self.brackets,
                f"at most {rungs}, as many as there are rungs from grace_period to max_t",
                where="brackets",
            )
        return self

    def rungs(self, bracket: int) -> tuple[int, ...]:
        """Return where the trials of a bracket (from 0) are judged, in units of `time_attr`, rounded up."""
        return _rungs(self.grace_period, self.max_t, self.reduction_factor, bracket)

    def setup(self, *, objective: Objective, space: ParamSpace, seed: int) -> None:
        """Prepare for an experiment."""
        del space
        self._objective = objective
        # a separate stream, as the search algorithm may have the same seed
        self._rng = new_rng(seed if self.seed is None else self.seed, stream=1)
        self._recorded = [[[] for _ in self.rungs(bracket)] for bracket in range(self.brackets)]

    def next_decision(self, trial: Trial) -> int | None:
        """Return the iteration of the next rung or max_t (other time_attr: the next one); None: none left."""
        ahead = self._ahead(trial)
        if ahead is None:
            return None
        return max(trial.iteration + 1, ahead) if self.time_attr == _ITERATION else trial.iteration + 1

    def on_trial_add(self, trial: Trial) -> None:
        """Draw the trial's bracket, weighted by the softmax of the numbers of rungs, as in Ray Tune.

        A trial that continues after its end is judged only at the rungs ahead of it.
        """
        sizes = np.array([len(bracket) for bracket in self._recorded])
        weights = np.exp(sizes - sizes.max())
        bracket = int(self._rng.choice(len(sizes), p=weights / weights.sum()))
        self._bracket[trial.trial_id] = bracket
        if trial.last_result is not None:
            self._judged[trial.trial_id] = self._reached(bracket, _time(trial.last_result, self.time_attr))

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        """Return STOP at max_t or if the trial is too bad at a rung, else CONTINUE."""
        time = _time(result, self.time_attr)
        if self.stop_last_trials and time >= self.max_t:
            return STOP
        return STOP if self._is_cut(trial, result, time) else CONTINUE

    def on_trial_complete(self, trial: Trial) -> None:
        """Record the final result if it is the trial's first one at a rung."""
        if trial.last_result is not None:
            self._is_cut(trial, trial.last_result, _time(trial.last_result, self.time_attr))
        self._forget(trial)

    def on_trial_error(self, trial: Trial, *, final: bool) -> None:
        """Remove the trial if the failure is final; its recorded scores stay."""
        if final:
            self._forget(trial)

    def _ahead(self, trial: Trial) -> int | None:
        rungs = self.rungs(self._bracket[trial.trial_id])
        following = self._judged.get(trial.trial_id, -1) + 1
        if following < len(rungs):
            return rungs[following]
        return self.max_t if self.stop_last_trials else None

    def _reached(self, bracket: int, time: float) -> int:
        """Return the index of the last rung at or before `time`; -1: none."""
        return bisect_right(self.rungs(bracket), time) - 1

    def _is_cut(self, trial: Trial, result: Result, time: float) -> bool:
        bracket = self._bracket[trial.trial_id]
        reached = self._reached(bracket, time)
        metric = self._objective.metric
        if reached <= self._judged.get(trial.trial_id, -1) or metric is None or result.value(metric) is None:
            return False
        self._judged[trial.trial_id] = reached
        recorded = self._recorded[bracket][reached]
        score = self._objective.score(result)
        cut = bool(recorded) and not score >= _percentile(recorded, 1 - 1 / self.reduction_factor)
        if math.isfinite(score):
            insort(recorded, score)
        return cut

    def _forget(self, trial: Trial) -> None:
        self._bracket.pop(trial.trial_id, None)
        self._judged.pop(trial.trial_id, None)


@lru_cache(maxsize=256)
def _rungs(grace_period: int, max_t: int, reduction_factor: float, bracket: int) -> tuple[int, ...]:
    rungs: list[int] = []
    exponent = bracket
    while (rung := grace_period * reduction_factor**exponent) <= max_t * (1 + 1e-9):
        rungs.append(math.ceil(rung * (1 - 1e-9)))
        exponent += 1
    return tuple(dict.fromkeys(rungs))  # with a small factor, several may round to the same number


def _time(result: Result, time_attr: str) -> float:
    """Return the progress of the trial; minus infinity (before every rung) if it was not reported."""
    value = result.value(time_attr)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return -math.inf
    return value


def _percentile(ascending: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the numbers lie, interpolated as numpy does by default."""
    position = share * (len(ascending) - 1)
    below = int(position)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (position - below)
