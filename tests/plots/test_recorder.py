"""What is kept of results that come one by one."""

import math
from itertools import pairwise

import pytest

from tune_flows.core.events import ResultsReported, TrialsReopened
from tune_flows.core.objective import Objective
from tune_flows.core.trial import Result, Trial
from tune_flows.plots import Recorder


def results(*values, first=1):
    return tuple(Result(n, {"m": v}, 1.0, float(n), 100.0 + n) for n, v in enumerate(values, first))


def recorded(*records, mode="max"):
    recorder = Recorder(Objective("m", mode))
    recorder.add(records)
    return recorder


def points(recorder, trials=None):
    return {c.trial_id: list(zip(c.iterations, c.values, strict=True)) for c in recorder.curves(trials)}


def test_curves_and_improvements():
    recorder = recorded(
        ResultsReported("a", 1, results(0.1, 0.3)),
        ResultsReported("b", 1, results(0.2)),
        ResultsReported("a", 1, results(0.2, 0.4, first=3)),
    )
    assert points(recorder) == {"a": [(1, 0.1), (2, 0.3), (3, 0.2), (4, 0.4)], "b": [(1, 0.2)]}
    assert [(i.trial_id, i.count, i.value) for i in recorder.improvements()] == [
        ("a", 1, 0.1),
        ("a", 2, 0.3),
        ("a", 5, 0.4),
    ]
    assert (recorder.results, recorder.best_value("a"), recorder.best_value("nobody")) == (5, 0.4, None)


def test_smaller_is_better():
    recorder = recorded(ResultsReported("a", 1, results(0.5, 0.7, 0.4)), mode="min")
    assert [i.value for i in recorder.improvements()] == [0.5, 0.4]
    assert recorder.best_value("a") == 0.4


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "text", True, 2**2000])
def test_a_value_that_cannot_be_compared_never_wins(bad):
    recorder = recorded(ResultsReported("a", 1, results(bad)))
    assert math.isnan(points(recorder)["a"][0][1])
    assert (recorder.best_value("a"), recorder.improvements()) == (None, ())


def test_what_is_late_or_known_changes_nothing():
    twice = ResultsReported("a", 2, results(0.1, 0.2))
    late = ResultsReported("a", 1, results(0.9, 0.9, 0.9))
    assert points(recorded(twice, twice, late)) == {"a": [(1, 0.1), (2, 0.2)]}


def test_a_restarted_trial_begins_anew():
    life = ResultsReported("a", 1, results(0.5, 0.9))
    other = ResultsReported("b", 1, results(0.4))
    again = TrialsReopened(("a",), restart=True)
    recorder = recorded(other, life, again, ResultsReported("a", 2, results(0.3)))
    assert points(recorder) == {"a": [(1, 0.3)], "b": [(1, 0.4)]}
    assert [(i.trial_id, i.value) for i in recorder.improvements()] == [("b", 0.4)]
    carried_on = TrialsReopened(("a",), restart=False)
    recorder = recorded(life, carried_on, ResultsReported("a", 2, results(0.3, first=3)))
    assert points(recorder) == {"a": [(1, 0.5), (2, 0.9), (3, 0.3)]}


def test_a_life_that_is_void_is_not_shown():
    recorder = recorded(ResultsReported("a", 1, results(0.5, 0.9)), TrialsReopened(("a",), restart=True))
    assert points(recorder, {"a": Trial("a", {}, iteration=0)}) == {}
    assert points(recorder, {"a": Trial("a", {}, iteration=1)}) == {"a": [(1, 0.5)]}


def test_a_long_curve_is_thinned_evenly_and_ends_with_its_newest_point():
    many = 10_007
    recorder = recorded(ResultsReported("a", 1, results(*range(many))))
    kept = [iteration for iteration, _ in points(recorder)["a"]]
    assert len(kept) < 150
    assert (kept[0], kept[-1]) == (1, many)
    gaps = {after - before for before, after in pairwise(kept)}
    assert max(gaps) == 128
    assert len(recorder.improvements()) <= 501
    assert recorder.improvements()[-1].value == many - 1


@pytest.mark.parametrize("overlap", [0, 2])
def test_results_of_earlier_runs_come_before(overlap):
    a, b = ResultsReported("a", 1, results(0.1, 0.5, 0.2)), ResultsReported("b", 1, results(0.3))
    after = ResultsReported("a", 2, results(0.4, 0.6, first=4))
    before = recorded(a, b, ResultsReported("a", 2, after.results[:overlap]))
    whole = recorded(after).preceded_by(before)
    assert points(whole) == points(recorded(a, b, after))
    assert [i.value for i in whole.improvements()] == [0.1, 0.5, 0.6]
    assert whole.best_value("a") == 0.6


def test_of_a_life_that_was_restarted_nothing_is_left():
    before = recorded(ResultsReported("a", 1, results(0.8, 0.9)))
    after = recorded(TrialsReopened(("a",), restart=True), ResultsReported("a", 2, results(0.1)))
    whole = after.preceded_by(before)
    assert points(whole) == {"a": [(1, 0.1)]}
    assert whole.best_value("a") == 0.1
