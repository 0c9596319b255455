"""Population based training.

Jaderberg et al. 2017, "Population Based Training of Neural Networks", arXiv:1711.09846, Algorithm 1, with
truncation selection (section 4.1.1), asynchronous: no trial waits for another one.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import ConfigDict, Field, PrivateAttr

from tune_flows.core.decisions import CONTINUE, YIELD, Decision, exploit
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Objective
from tune_flows.core.policy import Rng, new_rng
from tune_flows.core.schema import closest
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Action, Result, Trial
from tune_flows.schedulers.base import TrialScheduler
from tune_flows.schedulers.explore import explored
from tune_flows.schedulers.mutations import Mutations

__all__ = ["PopulationBasedTraining"]


class PopulationBasedTraining(TrialScheduler):
    """Lets bad trials continue from the checkpoint of a good one, with its configuration slightly changed.

    At every interval a trial in the lower quantile of the population, or one whose score is not a finite
    number, becomes a copy of a random better trial in the upper quantile. Trials take turns when there are
    more of them than slots. No trial is ever stopped: use a stop criterion.
    """

    model_config = ConfigDict(title="Population based training")
    needs_metric: ClassVar[bool] = True
    saves_at_decisions: ClassVar[bool] = True

    type: Literal["pbt"] = "pbt"
    perturbation_interval: int = Field(default=10, ge=1, description="Iterations between comparisons.")
    burn_in_period: int = Field(default=0, ge=0, description="Iterations before the first comparison.")
    quantile_fraction: float = Field(
        default=0.25, gt=0, le=0.5, description="Share of the population that copies, and that is copied."
    )
    resample_probability: float = Field(
        default=0.25, ge=0, le=1, description="Share of the values of a copy that are drawn anew."
    )
    perturbation_factors: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default=[1.2, 0.8], min_length=1, description="What the other values are multiplied by, one of them."
    )
    hyperparam_mutations: Mutations = Field(
        default={},
        description="What may change, by path (`model/lr`): domains or lists. Empty: all of the space.",
    )
    seed: int | None = Field(default=None, ge=0, description="Seed for whom to copy and what to change.")

    _objective: Objective = PrivateAttr()
    _rng: Rng = PrivateAttr()
    _domains: Mutations = PrivateAttr()
    # by trial id
    _compared: dict[str, int] = PrivateAttr(default_factory=dict[str, int])  # last comparison
    _scores: dict[str, float | None] = PrivateAttr(default_factory=dict[str, float | None])  # None: bad
    _configs: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict[str, dict[str, Any]])

    def setup(self, *, objective: Objective, space: ParamSpace, seed: int) -> None:
        """Prepare for an experiment.

        Raises:
            InvalidParameter: A mutation's path is not in the space, or there is nothing to change. Final.
        """
        self._domains = self._fitting(space)
        self._objective = objective
        # a separate stream, as the search algorithm may have the same seed
        self._rng = new_rng(seed if self.seed is None else self.seed, stream=2)

    def next_decision(self, trial: Trial) -> int | None:
        """Return the iteration at which the interval ends."""
        return max(trial.iteration + 1, self._due(trial.trial_id))

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        """At the end of an interval, exploit and explore if the trial is bad, and yield the slot."""
        if result.iteration < self._due(trial.trial_id):
            return CONTINUE
        self._compared[trial.trial_id] = result.iteration
        metric = self._objective.metric
        if metric is None or result.value(metric) is None:
            return YIELD  # nothing to compare this time
        score = self._objective.score(result)
        self._scores[trial.trial_id] = score if math.isfinite(score) else None
        self._configs[trial.trial_id] = trial.config
        source = self._better(trial.trial_id)
        if source is None:
            return YIELD
        config = explored(
            self._configs[source],
            domains=self._domains,
            rng=self._rng,
            resample_probability=self.resample_probability,
            factors=self.perturbation_factors,
        )
        self._configs[trial.trial_id] = config
        return exploit(source, config, then=Action.YIELD)

    def on_trial_complete(self, trial: Trial) -> None:
        """Remove the trial from the population."""
        self._forget(trial.trial_id)

    def on_trial_error(self, trial: Trial, *, final: bool) -> None:
        """Remove the trial from the population if the failure is final."""
        if final:
            self._forget(trial.trial_id)

    def choose_trial_to_run(self, candidates: Sequence[Trial]) -> str | None:
        """Return the trial with the fewest iterations."""
        return min(candidates, key=lambda trial: trial.iteration).trial_id

    def _fitting(self, space: ParamSpace) -> Mutations:
        paths = [*space.domains, *space.grids, *space.functions, *space.constants]
        for path in self.hyperparam_mutations:
            if path not in paths:
                known = f"keys of param_space: {', '.join(paths)}"
                raise InvalidParameter.of("scheduler.hyperparam_mutations", path, known, closest(path, paths))
        if not self.hyperparam_mutations and not space.domains:
            raise InvalidParameter.of(
                "scheduler.hyperparam_mutations", {}, "a domain, here or in param_space, of what may change"
            )
        return self.hyperparam_mutations or cast("Mutations", dict(space.domains))

    def _due(self, trial_id: str) -> int:
        return max(self._compared.get(trial_id, 0) + self.perturbation_interval, self.burn_in_period)

    def _better(self, trial_id: str) -> str | None:
        """Return the trial to copy; None if `trial_id` is not among the worst or no trial is better."""
        ranked = sorted(self._scores, key=self._rank)
        size = min(math.ceil(len(ranked) * self.quantile_fraction), len(ranked) // 2)
        own = self._rank(trial_id)
        if size == 0 or (trial_id not in ranked[:size] and self._scores[trial_id] is not None):
            return None
        better = [other for other in ranked[-size:] if self._rank(other) > own]
        return better[int(self._rng.integers(len(better)))] if better else None

    def _rank(self, trial_id: str) -> float:
        score = self._scores[trial_id]
        return -math.inf if score is None else score

    def _forget(self, trial_id: str) -> None:
        self._compared.pop(trial_id, None)
        self._scores.pop(trial_id, None)
        self._configs.pop(trial_id, None)
