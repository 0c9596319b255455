"""Conformance suite for search algorithms, to be subclassed.

    class TestMySearch(SearchAlgConformance):
        def make(self) -> SearchAlg:
            return MySearch(share=0.5)

`make` returns a new algorithm that depends only on its fields. Override `space` for an algorithm that cannot
search every space.
"""

# ruff: noqa: D102 - the name of a test says what it tests

import json
import math
from dataclasses import replace
from typing import Any

from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import TrialStatus
from tune_flows.runner.runner import Rules
from tune_flows.schedulers import ASHAScheduler, FIFOScheduler
from tune_flows.search import SearchAlg, parse_search_alg
from tune_flows.testing.scripted_run import Script, ScriptedRun, scripted_run
from tune_flows.testing.spaces import every_domain

__all__ = ["SearchAlgConformance"]

_BAD: tuple[Any, ...] = (math.nan, math.inf, -math.inf, "text", None, True, [1.0])


class SearchAlgConformance:
    """Base class of the tests; subclass it under a name that begins with `Test` and override `make`."""

    def make(self) -> SearchAlg:
        """Return a new algorithm."""
        raise NotImplementedError

    def space(self) -> ParamSpace:
        """Return the space to search."""
        return every_domain()

    def script(self) -> Script:
        """Return the script of the run that most tests use."""
        return Script(space=self.space(), metrics=_learning_curve, trials=24, slots=3, length=4)

    def run(self, search_alg: SearchAlg, script: Script) -> ScriptedRun:
        """Run the algorithm with a scheduler that stops some trials early."""
        return scripted_run(search_alg, ASHAScheduler(max_t=4, reduction_factor=2), script)

    def test_its_configuration_survives_json(self) -> None:
        search_alg = self.make()
        assert parse_search_alg(json.loads(json.dumps(search_alg.to_config()))) == search_alg

    def test_the_same_seed_gives_the_same_run(self) -> None:
        assert self.run(self.make(), self.script()) == self.run(self.make(), self.script())

    def test_a_fresh_copy_has_no_state(self) -> None:
        search_alg = self.make()
        first = self.run(search_alg, self.script())
        assert self.run(search_alg.fresh(), self.script()) == first

    def test_dump_and_load_at_every_turn_change_nothing(self) -> None:
        undisturbed = self.run(self.make(), self.script())
        assert self.run(self.make(), replace(self.script(), reload_every=1)) == undisturbed

    def test_every_suggestion_lies_in_the_space(self) -> None:
        script = self.script()
        trials = self.run(self.make(), script).trials
        assert len(trials) == script.trials
        for trial in trials.values():
            flat = script.space.flatten(trial.config)
            assert flat.keys() >= {*script.space.domains, *script.space.grids}

    def test_what_is_done_to_a_suggestion_does_not_reach_the_next_one(self) -> None:
        suggestions: list[list[Any]] = []
        for spoil in (False, True):
            search_alg = self.make()
            search_alg.setup(space=self.space(), objective=Objective("score"), seed=1)
            suggestions.append([])
            for number in range(6):
                config = search_alg.suggest(f"trial-{number}")
                suggestions[-1].append(json.dumps(config))
                if spoil and isinstance(config, dict):
                    _spoil(config)
        assert suggestions[0] == suggestions[1]

    def test_bad_metrics_break_nothing(self) -> None:
        script = replace(self.script(), metrics=_mostly_bad)
        trials = self.run(self.make(), script).trials
        assert len(trials) == script.trials
        for trial in trials.values():
            script.space.flatten(trial.config)

    def test_failed_trials_break_nothing(self) -> None:
        faults = {(f"trial-{number:05d}", 1 + number % 3): 1 + number % 2 for number in range(0, 24, 2)}
        script = replace(self.script(), faults=faults, rules=Rules(max_failures=1))
        run = scripted_run(self.make(), FIFOScheduler(), script)
        assert len(run.trials) == script.trials
        assert all(trial.status.is_final for trial in run.trials.values())

    def test_trials_that_come_back_break_nothing(self) -> None:
        faults = {(f"trial-{number:05d}", 1 + number % 3): 1 for number in range(0, 24, 2)}
        script = replace(self.script(), faults=faults, lives=2)
        run = scripted_run(self.make(), FIFOScheduler(), script)
        assert all(trial.status is TrialStatus.TERMINATED for trial in run.trials.values())
        assert run == scripted_run(self.make(), FIFOScheduler(), replace(script, reload_every=1))


def _number(config: Any) -> float:  # noqa: ANN401 - any JSON value
    """Return a number in [0, 1) that depends on all values of a configuration, the same on any machine."""
    text = json.dumps(config, sort_keys=True)
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text)) % 1009 / 1009


def _learning_curve(config: Any, iteration: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"score": _number(config) * (1 - 0.5**iteration)}


def _mostly_bad(config: Any, iteration: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    kind = int(_number(config) * 1009) % (len(_BAD) + 2)
    if kind < len(_BAD):
        return {"score": _BAD[kind]}
    return {"other": 1.0} if iteration % 2 else _learning_curve(config, iteration)


def _spoil(config: dict[str, Any]) -> None:
    for key, value in config.items():
        if isinstance(value, dict):
            _spoil(value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            config[key] = "spoiled"
