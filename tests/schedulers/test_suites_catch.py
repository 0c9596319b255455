"""The conformance suites fail for policies that break their contract."""

from itertools import count
from typing import Any

import pytest
from pydantic import PrivateAttr

from tune_flows.core.decisions import CONTINUE, STOP, Decision
from tune_flows.core.errors import PolicyError
from tune_flows.core.objective import Objective
from tune_flows.core.policy import Rng, new_rng
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial
from tune_flows.schedulers import TrialScheduler
from tune_flows.search import RandomSearch, SearchAlg
from tune_flows.testing.scheduler import TrialSchedulerConformance
from tune_flows.testing.search_alg import SearchAlgConformance

CALLS = count()


class Unannounced(TrialScheduler):
    """Stops at an iteration that it did not name."""

    def next_decision(self, trial: Trial) -> int | None:
        return None

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        return STOP


class Forgetful(TrialScheduler):
    """Keeps part of its memory where a restart loses it."""

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        seen = vars(self).setdefault("_seen", {})
        seen[trial.trial_id] = seen.get(trial.trial_id, 0) + 1
        return STOP if seen[trial.trial_id] > 9 else CONTINUE


class Global(RandomSearch):
    """Draws from something that outlives it."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return super().suggest(trial_id) | {"lr": 1e-5 + next(CALLS) * 1e-8}


class Outside(SearchAlg):
    """Suggests what is not in the space."""

    _space: ParamSpace = PrivateAttr()
    _rng: Rng = PrivateAttr()

    def setup(self, *, space: ParamSpace, objective: Objective, seed: int) -> None:
        self._space, self._rng = space, new_rng(seed)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return self._space.sample(self._rng) | {"lr": 7.0}


def suite(base: Any, policy: Any) -> Any:
    return type("Suite", (base,), {"make": lambda self: policy()})()


def test_a_decision_that_was_not_announced() -> None:
    with pytest.raises(PolicyError, match="next_decision"):
        suite(TrialSchedulerConformance, Unannounced).test_the_same_seed_gives_the_same_run()


def test_memory_that_a_restart_loses() -> None:
    with pytest.raises(AssertionError):
        suite(TrialSchedulerConformance, Forgetful).test_dump_and_load_at_every_turn_change_nothing()


def test_randomness_from_outside() -> None:
    with pytest.raises(AssertionError):
        suite(SearchAlgConformance, Global).test_the_same_seed_gives_the_same_run()


def test_a_suggestion_outside_the_space() -> None:
    with pytest.raises(ValueError, match="lr"):
        suite(SearchAlgConformance, Outside).test_every_suggestion_lies_in_the_space()
