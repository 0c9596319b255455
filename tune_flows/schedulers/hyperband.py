"""HyperBand: successive halving with several trade-offs between many trials and long ones.

Li et al. 2016, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", arXiv:1603.06560,
Algorithm 1. In its notation R is `max_t` and eta is `reduction_factor`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from tune_flows.core.decisions import CONTINUE, PAUSE, STOP, Decision
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial
from tune_flows.schedulers.base import TrialScheduler

__all__ = ["HyperBandScheduler"]

_ROUNDING = 1e-9


@dataclass(slots=True)
class _Bracket:
    """A group of trials that are halved together."""

    s: int
    """How often its trials are halved in total."""
    added: int = 0
    """Number of trials that were ever added."""
    stage: int = 0
    """How often its trials were halved so far."""
    closed: bool = False
    """Whether no further trial is added."""
    members: list[str] = field(default_factory=list[str])
    """The trials that have neither ended nor lost a halving, oldest first."""
    waiting: dict[str, float | None] = field(default_factory=dict[str, float | None])
    """Scores of the members that have reached the milestone; None: not a finite number."""


class HyperBandScheduler(TrialScheduler):
    """Pauses trials at milestones and lets the best 1/reduction_factor of their bracket continue.

    Brackets are filled one after the other, the one with the most and shortest trials first. A bracket is
    halved when it is full (or no new trial comes) and all its trials have reached the milestone or have
    ended; only trials with a finite score continue. A result without the metric postpones the milestone to
    the next result that has it.
    """

    model_config = ConfigDict(title="HyperBand")
    needs_metric: ClassVar[bool] = True
    saves_at_decisions: ClassVar[bool] = True

    type: Literal["hyperband"] = "hyperband"
    max_t: int = Field(default=81, ge=1, description="Longest training of a trial, in iterations.")
    reduction_factor: float = Field(
        default=3, ge=2, allow_inf_nan=False, description="At a milestone one of that many trials goes on."
    )
    stop_last_trials: bool = Field(default=True, description="Whether a trial is stopped at max_t.")

    _objective: Objective = PrivateAttr()
    _brackets: dict[int, _Bracket] = PrivateAttr(default_factory=dict[int, _Bracket])
    _opened: int = PrivateAttr(default=0)
    _bracket_of: dict[str, int] = PrivateAttr(default_factory=dict[str, int])
    _losers: dict[str, None] = PrivateAttr(default_factory=dict[str, None])  # trials to be stopped

    @property
    def s_max(self) -> int:
        """How often the trials of the first bracket are halved."""
        return _s_max(self.max_t, self.reduction_factor)

    def bracket_size(self, s: int) -> int:
        """Return the number of trials in a full bracket that is halved `s` times (n in the paper)."""
        return math.ceil((self.s_max + 1) / (s + 1) * self.reduction_factor**s - _ROUNDING)

    def milestones(self, s: int) -> tuple[int, ...]:
        """Return a bracket's halving iterations (r_i in the paper, rounded down); the last one is max_t."""
        return _milestones(self.max_t, self.reduction_factor, s)

    def kept(self, trials: int, stage: int) -> int:
        """Return how many of a bracket's initial `trials` continue after milestone `stage` (from 0)."""
        return max(1, math.floor(trials / self.reduction_factor ** (stage + 1) + _ROUNDING))

    def setup(self, *, objective: Objective, space: ParamSpace, seed: int) -> None:
        """Prepare for an experiment."""
        del space, seed
        self._objective = objective

    def next_decision(self, trial: Trial) -> int | None:
        """Return the next milestone of the trial's bracket; None: it is in no bracket."""
        bracket = self._home(trial.trial_id)
        if bracket is None:
            return None
        return max(trial.iteration + 1, self.milestones(bracket.s)[bracket.stage])

    def on_trial_add(self, trial: Trial) -> None:
        """Add the trial to the open bracket, or to a new one if none is open."""
        bracket = self._brackets.get(self._opened - 1)
        if bracket is None or bracket.closed:
            bracket = _Bracket(s=self.s_max - self._opened % (self.s_max + 1))
            self._brackets[self._opened] = bracket
            self._opened += 1
        bracket.members.append(trial.trial_id)
        bracket.added += 1
        bracket.closed = bracket.added == self.bracket_size(bracket.s)
        self._bracket_of[trial.trial_id] = self._opened - 1

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        """Return PAUSE at a milestone; the last trial to reach it gets CONTINUE or STOP at once."""
        trial_id = trial.trial_id
        bracket = self._home(trial_id)
        if bracket is None:
            return CONTINUE
        if result.iteration >= self.max_t:
            self._leave(trial_id)
            return STOP if self.stop_last_trials else CONTINUE
        milestone = self.milestones(bracket.s)[bracket.stage]
        metric = self._objective.metric
        if result.iteration < milestone or metric is None or result.value(metric) is None:
            return CONTINUE
        score = self._objective.score(result)
        bracket.waiting[trial_id] = score if math.isfinite(score) else None
        self._halve_if_ready(bracket)
        if trial_id in self._losers:
            return STOP
        return PAUSE if trial_id in bracket.waiting else CONTINUE

    def on_trial_complete(self, trial: Trial) -> None:
        """Remove the trial from its bracket."""
        self._leave(trial.trial_id)

    def on_trial_error(self, trial: Trial, *, final: bool) -> None:
        """Remove the trial from its bracket if the failure is final."""
        if final:
            self._leave(trial.trial_id)

    def on_no_new_trials(self) -> None:
        """Close the open bracket, even if it is not full."""
        bracket = self._brackets.get(self._opened - 1)
        if bracket is not None:
            bracket.closed = True
            self._halve_if_ready(bracket)

    def pending_decisions(self) -> Mapping[str, Decision]:
        """Return STOP for the trials that lost a halving, until they have ended."""
        return dict.fromkeys(self._losers, STOP)

    def choose_trial_to_run(self, candidates: Sequence[Trial]) -> str | None:
        """Return the oldest trial in the oldest bracket, among those not waiting at a milestone; or None."""
        ready = [trial for trial in candidates if self._may_run(trial.trial_id)]
        if not ready:
            return None
        return min(ready, key=lambda trial: self._bracket_of.get(trial.trial_id, -1)).trial_id

    def _home(self, trial_id: str) -> _Bracket | None:
        number = self._bracket_of.get(trial_id)
        return None if number is None else self._brackets[number]

    def _may_run(self, trial_id: str) -> bool:
        bracket = self._home(trial_id)
        return trial_id not in self._losers and (bracket is None or trial_id not in bracket.waiting)

    def _leave(self, trial_id: str) -> None:
        self._losers.pop(trial_id, None)
        number = self._bracket_of.pop(trial_id, None)
        if number is None:
            return
        bracket = self._brackets[number]
        bracket.members.remove(trial_id)
        bracket.waiting.pop(trial_id, None)
        self._halve_if_ready(bracket)
        if bracket.closed and not bracket.members:
            self._forget(bracket)

    def _halve_if_ready(self, bracket: _Bracket) -> None:
        if not bracket.closed or not bracket.members or len(bracket.waiting) < len(bracket.members):
            return
        scores = {trial_id: score for trial_id, score in bracket.waiting.items() if score is not None}
        # sorted() is stable: of equal scores the older trial continues, even if it arrived later
        ranked = sorted((m for m in bracket.members if m in scores), key=lambda m: -scores[m])
        good = set(ranked[: self.kept(bracket.added, bracket.stage)])
        for trial_id in bracket.members:
            if trial_id not in good:
                self._losers[trial_id] = None
                del self._bracket_of[trial_id]
        bracket.members = [trial_id for trial_id in bracket.members if trial_id in good]
        bracket.waiting = {}
        bracket.stage += 1
        if not bracket.members:  # no score was finite
            self._forget(bracket)

    def _forget(self, bracket: _Bracket) -> None:
        self._brackets = {number: other for number, other in self._brackets.items() if other is not bracket}


@lru_cache(maxsize=256)
def _s_max(max_t: int, reduction_factor: float) -> int:
    s = 0
    while reduction_factor ** (s + 1) <= max_t * (1 + _ROUNDING):
        s += 1
    return s


@lru_cache(maxsize=256)
def _milestones(max_t: int, reduction_factor: float, s: int) -> tuple[int, ...]:
    shares = (reduction_factor ** (s - stage) for stage in range(s + 1))
    return tuple(math.floor(max_t / share * (1 + _ROUNDING)) for share in shares)
