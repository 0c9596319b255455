import enum
import json
import math
from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_flows.core.json_values import NotJson, from_json, plain_json, to_json


class Colour(enum.StrEnum):
    RED = "red"


class Old(str, enum.Enum):  # noqa: UP042 - what people still have
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


@pytest.mark.parametrize(("value", "form"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_non_finite_floats_have_a_form_of_their_own(value, form):
    assert to_json({"a": [value]}) == {"a": [{"$float": form}]}
    assert repr(from_json(to_json({"a": [value]}))) == repr({"a": [value]})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finite_floats_survive_bit_by_bit(value):
    assert math.copysign(1, from_json(json.loads(json.dumps(to_json(value))))) == math.copysign(1, value)
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


@pytest.mark.parametrize(
    "value", [{"$float": "abc"}, {"$float": 1.5}, {"$$float": {"$float": "nan"}}, {"$": 1}]
)
def test_a_dict_that_looks_like_a_float_survives(value):
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


def test_tuples_become_lists():
    assert to_json((1, (2, {"a": (math.nan,)}))) == [1, [2, {"a": [{"$float": "nan"}]}]]


def test_numpy_floats_are_floats_too():
    assert to_json(np.float64("nan")) == {"$float": "nan"}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(2.5), 2.5),
        (Colour.RED, "red"),
        (Old.RED, "red"),
        (Size.BIG, 3),
        ((1, [np.int8(2)]), [1, [2]]),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        ({1: 2, Old.RED: 3}, {"1": 2, "red": 3}),
        (True, True),
        (None, None),
        (2**80, 2**80),
    ],
    ids=repr,
)
def test_a_plain_copy_is_made_of_the_basic_types(value, plain):
    copy = plain_json(value)
    assert copy == plain
    assert json.loads(json.dumps(copy)) == plain
    assert repr(copy) == repr(plain)


def test_a_plain_copy_shares_nothing():
    inner = {"b": [1]}
    copy = plain_json({"a": inner})
    inner["b"].append(2)
    assert copy == {"a": {"b": [1]}}


def test_nan_is_plain_unless_strict():
    assert math.isnan(plain_json(np.float64("nan")))
    with pytest.raises(NotJson, match="nan is not a finite number") as raised:
        plain_json({"a": [1, math.nan]}, where="x", strict=True)
    assert raised.value.where == "x['a'][1]"


def test_strict_keys_are_strings():
    with pytest.raises(NotJson, match="1 is not keys that are strings"):
        plain_json({"a": {1: 2}}, strict=True)


@pytest.mark.parametrize("value", [object(), b"", {1}, 1j, np.zeros(2), print, int, ValueError("x")])
def test_what_json_does_not_have_is_refused_by_its_place(value):
    with pytest.raises(NotJson, match=f"^{type(value).__name__} is not a JSON value$") as raised:
        plain_json({"a": [0, value]})
    assert raised.value.where == "['a'][1]"
