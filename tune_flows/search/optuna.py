"""Bayesian optimisation with the samplers of the Optuna library.

Optuna's study is not part of the state: it is rebuilt from the list of the suggestions and their outcomes.
That works because each suggestion uses a new sampler, seeded with the search's seed and the number of the
suggestion, so that nothing outside the list has to be stored.
"""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, JsonValue, PrivateAttr

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial
from tune_flows.search.base import SearchAlg
from tune_flows.search.points import Points, check_points

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study

    from tune_flows.search.optuna_axes import Axis

__all__ = ["OptunaSearch"]


@dataclass(slots=True)
class _Suggestion:
    """A suggestion and its outcome."""

    number: int
    params: dict[str, int | float]
    """Optuna's parameter values by path."""
    score: float | None = None
    """The newest score, larger is better; None before the first one and when it was not finite."""
    is_bad: bool = False
    """Whether the newest score was not a finite number."""
    ended: Literal["COMPLETE", "PRUNED", "FAIL"] | None = None
    """Optuna's final state: has a score, is worse than all others, or does not count. None: running."""


class OptunaSearch(SearchAlg):
    """Models which configurations are good from the trials so far, and suggests promising ones.

    A trial counts with the newest score it reported, even if the scheduler stopped it early. A trial whose
    newest score is not a finite number counts as worse than all others; a failed trial does not count.
    """

    model_config = ConfigDict(title="Optuna", ignored_types=(cached_property,))
    needs_metric: ClassVar[bool] = True

    type: Literal["optuna"] = "optuna"
    sampler: Literal["tpe", "random"] = Field(
        default="tpe", description="tpe: tree-structured Parzen estimator; random: a baseline for comparison."
    )
    seed: int | None = Field(default=None, ge=0, description="Seed of the sampler.")
    n_startup_trials: int = Field(default=10, ge=0, description="Random trials before the model is used.")
    multivariate: bool = Field(default=True, description="Model the keys together, not one by one.")
    constant_liar: bool = Field(
        default=True, description="Keep away from what runs at present: for many trials at a time."
    )
    points_to_evaluate: Points = Field(default=[])

    _space: ParamSpace = PrivateAttr()
    _objective: Objective = PrivateAttr()
    _entropy: int = PrivateAttr()
    _suggestions: dict[str, _Suggestion] = PrivateAttr(default_factory=dict[str, _Suggestion])

    def setup(self, *, space: ParamSpace, objective: Objective, seed: int) -> None:
        """Prepare for an experiment.

        Raises:
            InvalidParameter: Optuna is not installed, or it cannot search the space or the points. Final.
        """
        _need_optuna()
        if space.grids:
            raise InvalidParameter.of(
                "param_space",
                f"grid_search for {', '.join(space.grids)} with OptunaSearch",
                "domains only",
                "Take choice([...]), or RandomSearch or GridSearch.",
            )
        check_points(self.points_to_evaluate, space)
        self._space, self._objective = space, objective
        self._entropy = seed if self.seed is None else self.seed

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next point to evaluate; after the last one, a configuration from the sampler."""
        number = len(self._suggestions)
        fixed: dict[str, JsonValue] = {}
        if number < len(self.points_to_evaluate):
            fixed = self._space.flatten(self.points_to_evaluate[number])
        params = self._sampled(number, fixed)
        self._suggestions[trial_id] = _Suggestion(number, params)
        values = {path: self._axes[path].to_value(param) for path, param in params.items()}
        return self._space.resolve(values | fixed)

    def on_trial_result(self, trial: Trial, result: Result) -> None:
        """Store the newest score."""
        suggestion = self._suggestions.get(trial.trial_id)
        metric = self._objective.metric
        if suggestion is None or metric is None or result.value(metric) is None:
            return
        if suggestion.ended is not None:  # it runs again; Optuna cannot reopen a trial: rebuild the study
            suggestion.ended = None
            vars(self).pop("_study", None)
        score = self._objective.score(result)
        suggestion.is_bad = not math.isfinite(score)
        suggestion.score = None if suggestion.is_bad else score

    def on_trial_complete(self, trial: Trial) -> None:
        """Pass the outcome of the trial, with its newest score, to Optuna."""
        if trial.last_result is not None:
            self.on_trial_result(trial, trial.last_result)
        suggestion = self._suggestions.get(trial.trial_id)
        if suggestion is not None and suggestion.score is not None:
            self._tell(suggestion, "COMPLETE")
        elif suggestion is not None:
            self._tell(suggestion, "PRUNED" if suggestion.is_bad else "FAIL")

    def on_trial_error(self, trial: Trial) -> None:
        """Mark the trial as failed in Optuna, so that it no longer counts as running."""
        suggestion = self._suggestions.get(trial.trial_id)
        if suggestion is not None:
            self._tell(suggestion, "FAIL")

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `dump_state` wrote."""
        super().load_state(state)
        for derived in ("_axes", "_study"):
            vars(self).pop(derived, None)

    @cached_property
    def _axes(self) -> "dict[str, Axis]":
        from tune_flows.search.optuna_axes import axis

        return {path: axis(domain) for path, domain in self._space.domains.items()}

    @cached_property
    def _study(self) -> "Study":
        """Optuna's study of the suggestions, rebuilt after a restart."""
        import optuna

        with _quiet():
            study = optuna.create_study(direction="maximize")
        distributions = {path: axis.distribution for path, axis in self._axes.items()}
        for suggestion in sorted(self._suggestions.values(), key=lambda suggestion: suggestion.number):
            study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState[suggestion.ended or "RUNNING"],
                    params=suggestion.params,
                    distributions=distributions,
                    value=suggestion.score if suggestion.ended == "COMPLETE" else None,
                )
            )
        return study

    def _sampled(self, number: int, fixed: dict[str, JsonValue]) -> dict[str, int | float]:
        study = self._study
        study.sampler = self._new_sampler(number)
        params = {path: axis.to_param(fixed[path]) for path, axis in self._axes.items() if path in fixed}
        if params:
            study.enqueue_trial(params)
        return study.ask({path: axis.distribution for path, axis in self._axes.items()}).params

    def _new_sampler(self, number: int) -> "BaseSampler":
        from optuna.samplers import RandomSampler, TPESampler

        seed = int(np.random.SeedSequence((self._entropy, number)).generate_state(1)[0])
        if self.sampler == "random":
            return RandomSampler(seed=seed)
        return TPESampler(
            seed=seed,
            n_startup_trials=self.n_startup_trials,
            multivariate=self.multivariate,
            constant_liar=self.constant_liar,
        )

    def _tell(self, suggestion: _Suggestion, ended: Literal["COMPLETE", "PRUNED", "FAIL"]) -> None:
        from optuna.trial import TrialState

        if suggestion.ended is not None:
            return
        suggestion.ended = ended
        study: Study | None = vars(self).get("_study")
        if study is not None:  # else it will be built from the suggestions, including this one
            value = suggestion.score if ended == "COMPLETE" else None
            study.tell(suggestion.number, value, state=TrialState[ended])


def _need_optuna() -> None:
    try:
        import optuna  # noqa: F401 # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise InvalidParameter.of(
            "search_alg.type", "optuna", "the optuna library", "Run: pip install 'tune_flows[optuna]'."
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """Suppress the message that Optuna logs for each new study."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
