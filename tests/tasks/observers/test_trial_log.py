"""The log of the flow run tells of each trial's end and of new bests, at a bounded rate."""

import logging
from typing import Any

from tests.experiment.simulated_experiment import Curve, SimulatedExperiment
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.results.tune_result import tune_result
from tune_flows.tasks.observers.trial_log import TrialNews, tell_ended, tell_errors

OBJECTIVE = Objective("score", "max")


class Failing(Curve):
    """Fails at once."""

    def step(self):
        raise ValueError("no luck")


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, msg: str, *args: Any) -> None:
        self.lines.append((level, msg % args))

    def texts(self, *, about: str) -> list[str]:
        return [text for _, text in self.lines if about in text]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told_of(shop: SimulatedExperiment, clock: Clock | None = None) -> Lines:
    lines = Lines()
    shop.observers = [TrialNews(OBJECTIVE, lines, clock or Clock())]
    shop.run()
    return lines


def test_each_end_is_a_line_with_the_reason_and_the_metric(tmp_path):
    lines = told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=3))
    ends = lines.texts(about="ended after")
    assert len(ends) == 3
    assert all(line.startswith(("trial-00000 ", "trial-00001 ", "trial-00002 ")) for line in ends)
    assert all("score=" in line and "(" in line for line in ends)
    assert lines.texts(about="best so far: score=")
    assert {level for level, _ in lines.lines} == {logging.INFO}


def test_what_a_session_begins_with_is_told(tmp_path):
    assert not told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=2)).texts(about="carries on")
    lines = told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=3)).texts(about="carries on")
    assert lines == ["carries on: 2 trials are over, 18 iterations are known"]


def test_a_threshold_that_nobody_reports_is_warned_of_once(tmp_path):
    stop = {"training_iterations": 2, "training_iteration": 3, "time_total_s": 1e9, "score": 1e9}
    lines = told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=3, rules=Rules(stop=stop), stop=stop))
    (level, text), *more = [line for line in lines.lines if "stops nothing" in line[1]]
    assert not more
    assert level == logging.WARNING
    assert text.startswith(
        "stop: training_iterations=2 was never reported so far and stops nothing. Reported: "
    )
    assert text.endswith("time_total_s, timestamp, training_iteration.")


def test_an_experiment_that_has_ended_already_is_told_with_its_reason():
    told = Lines()
    tell_ended("churn", ExperimentState(ended="all trials done"), told)
    assert [text.partition(":")[0] for _, text in told.lines] == ["churn has ended already (all trials done)"]


def test_many_ends_are_counted(tmp_path):
    lines = told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=120))
    assert len(lines.texts(about="ended after")) == 50
    assert len(lines.texts(about="best so far")) <= 3


def test_what_was_not_told_is_told_as_a_number(tmp_path):
    class Running(Clock):
        def __call__(self) -> float:
            self.now += 0.1
            return self.now

    lines = told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=200), Running())
    assert any("other trials ended meanwhile)" in text for _, text in lines.lines)


def test_failures_are_told_with_their_errors(tmp_path):
    lines = told_of(SimulatedExperiment(f"{tmp_path}/e", num_samples=2, trainable=Failing))
    failed = sorted(lines.texts(about="failed after"))
    assert failed == [f"trial-0000{i} failed after 0 iterations: ValueError: no luck" for i in (0, 1)]


def test_of_many_errors_the_first_are_told():
    told = Lines()
    result = tune_result("somewhere", ExperimentState(), OBJECTIVE)
    tell_errors(result.model_copy(update={"errors": {f"t{i}": "bad" for i in range(25)}}), told)
    assert len(told.lines) == 21
    assert told.lines[-1][1].startswith("... and 5 more trials failed")
