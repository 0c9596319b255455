"""Conformance suite for trial schedulers, to be subclassed.

    class TestMyScheduler(TrialSchedulerConformance):
        def make(self) -> TrialScheduler:
            return MyScheduler(every=5)

`make` returns a new scheduler that depends only on its fields. The runs check its contract too: the runner
refuses a decision that `next_decision` did not announce, and a `next_decision` that is not in the future.
"""

# ruff: noqa: D102 - the name of a test says what it tests

import json
import math
from dataclasses import replace
from typing import Any

from tune_flows.core.decisions import TrialDecided
from tune_flows.runner.runner import Rules
from tune_flows.schedulers import TrialScheduler, parse_scheduler
from tune_flows.search import RandomSearch
from tune_flows.testing.scripted_run import Script, ScriptedRun, scripted_run
from tune_flows.testing.spaces import small_space

__all__ = ["TrialSchedulerConformance"]

_BAD: tuple[Any, ...] = (math.nan, math.inf, -math.inf, "text", True, [1.0])


class TrialSchedulerConformance:
    """Base class of the tests; subclass it under a name that begins with `Test` and override `make`."""

    def make(self) -> TrialScheduler:
        """Return a new scheduler."""
        raise NotImplementedError

    def script(self) -> Script:
        """Return the script of the run that most tests use."""
        return Script(space=small_space(), metrics=_learning_curve, trials=20, slots=3, length=30)

    def run(self, scheduler: TrialScheduler, script: Script) -> ScriptedRun:
        """Run the scheduler with random search."""
        run = scripted_run(RandomSearch(), scheduler, script)
        assert len(run.trials) == script.trials
        assert all(trial.status.is_final for trial in run.trials.values())
        return run

    def test_its_configuration_survives_json(self) -> None:
        scheduler = self.make()
        assert parse_scheduler(json.loads(json.dumps(scheduler.to_config()))) == scheduler

    def test_the_same_seed_gives_the_same_run(self) -> None:
        assert self.run(self.make(), self.script()) == self.run(self.make(), self.script())

    def test_a_fresh_copy_has_no_state(self) -> None:
        scheduler = self.make()
        first = self.run(scheduler, self.script())
        assert self.run(scheduler.fresh(), self.script()) == first

    def test_dump_and_load_at_every_turn_change_nothing(self) -> None:
        undisturbed = self.run(self.make(), self.script())
        assert self.run(self.make(), replace(self.script(), reload_every=1)) == undisturbed

    def test_asking_at_every_step_changes_nothing(self) -> None:
        free = self.run(self.make(), self.script())
        stepwise = self.run(self.make(), replace(self.script(), rules=Rules(max_steps_per_task=1)))
        assert stepwise.decisions == free.decisions
        assert {name: trial.config for name, trial in stepwise.trials.items()} == {
            name: trial.config for name, trial in free.trials.items()
        }

    def test_a_run_ends_with_any_number_of_slots_and_trials(self) -> None:
        for slots, trials in ((1, 1), (1, 7), (2, 3), (7, 20), (50, 20)):
            self.run(self.make(), replace(self.script(), slots=slots, trials=trials))

    def test_failures_break_nothing(self) -> None:
        faults = {(f"trial-{number:05d}", 1 + number % 11): 1 + number % 2 for number in range(20)}
        script = replace(self.script(), faults=faults, rules=Rules(max_failures=1))
        assert self.run(self.make(), script) == self.run(self.make(), replace(script, reload_every=1))

    def test_trials_that_come_back_break_nothing(self) -> None:
        for restart in (False, True):
            script = replace(self.script(), lives=2, restart=restart)
            assert self.run(self.make(), script) == self.run(self.make(), replace(script, reload_every=1))

    def test_only_bad_metrics_break_nothing(self) -> None:
        self.run(self.make(), replace(self.script(), metrics=_bad))

    def test_a_bad_metric_never_wins(self) -> None:
        run = self.run(self.make(), replace(self.script(), metrics=_good_or_bad))
        good = [trial for trial in run.trials.values() if _is_good(trial.config)]
        longest = max(trial.iteration for trial in run.trials.values())
        assert max(trial.iteration for trial in good) == longest
        sources = {record.source for record in run.decisions if isinstance(record, TrialDecided)} - {None}
        assert all(run.trials[str(source)].metrics["score"] not in _BAD for source in sources)

    def test_a_metric_that_is_reported_now_and_then_is_enough(self) -> None:
        self.run(self.make(), replace(self.script(), metrics=_now_and_then))


def _learning_curve(config: Any, iteration: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    quality = config["x"] + 0.1 * config["model"]["n"]
    return {"score": quality * (1 - 0.8**iteration)}


def _is_good(config: Any) -> bool:  # noqa: ANN401 - any JSON value
    return config["kind"] == "a"


def _bad(config: Any, iteration: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"score": _BAD[(int(config["x"] * 1000) + iteration) % len(_BAD)]}


def _good_or_bad(config: Any, iteration: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return _learning_curve(config, iteration) if _is_good(config) else _bad(config, iteration)


def _now_and_then(config: Any, iteration: int) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return _learning_curve(config, iteration) if iteration % 4 == 0 else {"loss": 0.0}
