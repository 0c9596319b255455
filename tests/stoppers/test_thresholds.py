import math
import pickle

import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.trial import Result
from tune_flows.stoppers import StopCriteria


def result(iteration=5, time_total_s=2.0, **metrics):
    return Result(iteration, metrics, 0.5, time_total_s, 0.0)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ({"training_iteration": 5}, "stop: training_iteration >= 5"),
        ({"training_iteration": 6}, None),
        ({"time_total_s": 1.5}, "stop: time_total_s >= 1.5"),
        ({"accuracy": 0.95}, "stop: accuracy >= 0.95"),
        ({"loss": 0.1}, "stop: loss <= 0.1"),
        ({"loss": 0.01}, None),
        ({"other": 1}, None),
        ({"nan": 0}, None),
        ({"text": 0}, None),
        ({"training_iteration": 99, "accuracy": 0.5}, "stop: accuracy >= 0.5"),
        (None, None),
        ({}, None),
    ],
)
def test_reason(stop, reason):
    criteria = StopCriteria.parse(stop, metric="loss", mode="min")

    shown = result(accuracy=0.95, loss=0.1, nan=math.nan, text="x")
    assert criteria.reason(shown) == reason
    assert pickle.loads(pickle.dumps(criteria)) == criteria
    assert StopCriteria.parse(criteria) is criteria


def test_with_mode_max_every_threshold_is_a_lower_one():
    assert StopCriteria.parse({"acc": 1}, metric="acc", mode="max").reason(result(acc=2)) == "stop: acc >= 1"


@pytest.mark.parametrize(
    "stop",
    [
        3,
        "x",
        {1: 2},
        {"": 1},
        {"x": "1"},
        {"x": True},
        {"x": math.nan},
        {"x": None},
        {"training_iteration": 0},
    ],
)
def test_bad_criteria(stop):
    with pytest.raises(InvalidParameter, match=r"^stop"):
        StopCriteria.parse(stop)
