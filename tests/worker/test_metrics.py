import math
from enum import StrEnum

import numpy as np
import pandas as pd
import pytest

from tune_flows.core.errors import TrainableError
from tune_flows.worker.metrics import RESERVED, flattened


class Colour(StrEnum):
    RED = "red"


class Tensor:
    """What torch's scalars look like."""

    ndim = 0

    def item(self):
        return 2.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(1.5), 1.5),
        (np.float64(2.0), 2.0),
        (Tensor(), 2.5),
        ((1, (2, np.int8(3))), [1, [2, 3]]),
        ([{"a": np.float64(1)}], [{"a": 1.0}]),
        (Colour.RED, "red"),
        (None, None),
    ],
)
def test_values_become_json(value, expected):
    flat, done = flattened({"x": value})

    assert flat == {"x": expected}
    assert type(flat["x"]) is type(expected)
    assert not done


def test_non_finite_numbers_stay():
    flat, _ = flattened({"a": math.nan, "b": np.float32("inf")})

    assert math.isnan(flat["a"])
    assert flat["b"] == math.inf


def test_nested_names_are_joined():
    assert flattened({"val": {"loss": 1, "by": {3: 2}}, "x": {}})[0] == {"val/loss": 1, "val/by/3": 2}


def test_reserved_names_are_ignored_and_done_is_taken_out():
    metrics = dict.fromkeys(RESERVED, object()) | {"config": {"lr": object()}, "done": np.bool_(True), "x": 1}

    assert flattened(metrics) == ({"x": 1}, True)


def test_the_reported_dict_is_not_kept():
    metrics = {"x": 1}
    flat, _ = flattened(metrics)
    metrics["x"] = 2

    assert flat == {"x": 1}


@pytest.mark.parametrize("value", [pd.DataFrame(), np.zeros(2), b"", {1}, object(), [pd.Series([1])]])
def test_other_values_are_an_error_that_names_the_metric(value):
    with pytest.raises(
        TrainableError, match=r"reported value of 'a/b': \w+ is not a JSON value: report numbers"
    ):
        flattened({"a": {"b": value}})


@pytest.mark.parametrize("metrics", [None, 3, [("a", 1)]])
def test_metrics_must_be_a_dict(metrics):
    with pytest.raises(TrainableError, match="expected a dict of metrics"):
        flattened(metrics)
