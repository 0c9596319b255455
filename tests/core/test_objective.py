import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_flows.core.objective import Objective
from tune_flows.core.trial import Result


def result(**metrics):
    return Result(3, metrics, 0.5, 1.5, 100.0)


BAD = ["text", "0.5", None, [1.0], {"a": 1}, True, False, math.nan]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", BAD, ids=repr)
def test_what_is_no_number_scores_nan(value, mode):
    assert math.isnan(Objective("loss", mode).score(result(loss=value)))


@pytest.mark.parametrize(("mode", "suspect"), [("max", math.inf), ("min", -math.inf)])
def test_no_infinity_ever_wins(mode, suspect):
    objective = Objective("loss", mode)
    assert math.isnan(objective.score(result(loss=suspect)))
    assert objective.score(result(loss=-suspect)) == -math.inf


@given(st.sampled_from([*BAD, math.inf, -math.inf]), st.floats(allow_nan=False, allow_infinity=False))
def test_a_bad_value_never_beats_a_number(bad, good):
    for mode in ("min", "max"):
        objective = Objective("loss", mode)
        assert not objective.score(result(loss=bad)) > objective.score(result(loss=good))


def test_larger_is_better_whatever_the_mode():
    assert Objective("loss", "min").score(result(loss=2)) == -2.0
    assert Objective("loss", "max").score(result(loss=2)) == 2.0
    assert Objective("loss").score(result(loss=np.float64(2))) == 2.0


@pytest.mark.parametrize("mode", ["min", "max"])
def test_value_is_the_inverse_of_score(mode):
    objective = Objective("loss", mode)
    assert objective.value(objective.score(result(loss=0.3))) == 0.3


def test_missing_is_nan():
    assert math.isnan(Objective("loss").score(result(other=1.0)))
    assert math.isnan(Objective("loss").score(None))
    assert math.isnan(Objective(None).score(result(loss=1.0)))


@pytest.mark.parametrize(
    ("metric", "score"), [("training_iteration", 3.0), ("time_total_s", 1.5), ("timestamp", 100.0)]
)
def test_automatic_fields_are_metrics_too(metric, score):
    assert Objective(metric).score(result()) == score


def test_a_whole_number_too_large_for_a_float_is_no_usable_score():
    assert math.isnan(Objective("loss").score(result(loss=10**400)))
    assert math.isnan(Objective("loss", "min").score(result(loss=-(10**400))))
