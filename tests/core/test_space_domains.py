import json
import math
import pickle
from enum import StrEnum
from fractions import Fraction
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tune_flows.core import space
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.schema import FormUnion
from tune_flows.core.space import AnyDomain, ParamSpace

ANY_DOMAIN = TypeAdapter(AnyDomain)

reals = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)
wholes = st.integers(-(10**6), 10**6)
steps = st.sampled_from([1e-3, 0.05, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.7, 1.0, 2.5, 17.0])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def made(make, *strategies, ordered=2):
    """Domains of a constructor whose first two arguments are bounds to be put in order."""

    def build(arguments):
        bounds = sorted(arguments[:ordered])
        try:
            return make(*bounds, *arguments[ordered:])
        except InvalidParameter:  # equal bounds, or no multiple between them
            return None

    return st.tuples(*strategies).map(build).filter(lambda domain: domain is not None)


domains = st.one_of(
    made(space.uniform, reals, reals),
    made(space.quniform, reals, reals, steps),
    made(space.loguniform, positive, positive),
    made(space.qloguniform, positive, positive, steps),
    made(space.randn, reals, positive, ordered=0),
    made(space.qrandn, reals, st.floats(1e-3, 1e3), steps, ordered=0),
    made(space.randint, wholes, wholes),
    made(space.qrandint, wholes, wholes, st.integers(1, 1000)),
    made(space.lograndint, st.integers(1, 10**6), st.integers(1, 10**6)),
    made(space.qlograndint, st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 1000)),
    st.lists(json_values, min_size=1, max_size=5).map(space.choice),
)
unit = st.floats(0, 1)
exhaustive = settings(max_examples=300, derandomize=True, deadline=None)


@given(domains, unit)
@exhaustive
def test_quantiles_are_plain_values_inside_the_domain(domain, u):
    value = domain.quantile(u)
    assert domain.contains(value)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    lower, upper = getattr(domain, "lower", -math.inf), getattr(domain, "upper", math.inf)
    if isinstance(value, int | float):
        assert type(value) in (int, float, bool)
        assert isinstance(domain, space.Choice) or lower <= value <= upper
    if isinstance(domain, space.Uniform | space.LogUniform | space.RandInt | space.LogRandInt):
        assert value < upper
    if hasattr(domain, "q"):
        index = Fraction(repr(value)) / Fraction(repr(domain.q))
        assert abs(index - round(index)) < 1e-6
    elif isinstance(domain, space.RandInt):
        assert type(value) is int


@given(domains.filter(lambda domain: not isinstance(domain, space.Choice)), unit, unit)
@exhaustive
def test_quantiles_never_fall(domain, one, other):
    low, high = sorted([one, other])
    assert domain.quantile(low) <= domain.quantile(high)


@given(domains, st.integers(0, 2**32))
@exhaustive
def test_a_sample_is_the_quantile_of_one_draw(domain, seed):
    value = domain.sample(np.random.default_rng(seed))
    assert value == domain.quantile(np.random.default_rng(seed).random())


@given(domains)
@exhaustive
def test_the_json_form_is_the_domain(domain):
    form = json.loads(json.dumps(domain.to_json(), allow_nan=False))
    read = ANY_DOMAIN.validate_python(form)
    assert read == domain
    assert hash(read) == hash(domain)
    assert read.to_json() == form
    assert pickle.loads(pickle.dumps(domain)) == domain
    assert ParamSpace.parse({"x": form}) == ParamSpace.parse({"x": domain})


def test_multiples_carry_no_rounding_noise():
    domain = space.quniform(0, 1, 0.1)
    values = [domain.quantile(k / 11 + 0.01) for k in range(11)]
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert domain.contains(0.1 + 0.2)
    assert space.quniform(1e-5, 3e-5, 1e-5).quantile(0.99) == 3e-5
    assert space.quniform(1, 1, 1 / 3).quantile(0.5) == 1.0


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (
            space.uniform(0, 1),
            [0, 0.5, 1.0, np.float32(0.5)],
            [-0.1, 1.1, True, "0.5", None, math.nan, 10**400],
        ),
        (space.loguniform(0.1, 1), [0.1, 1], [0, 2, [0.5]]),
        (space.randint(1, 5), [1, 4, np.int64(2)], [0, 5, 2.0, True, "2", np.array([2, 3])]),
        (space.lograndint(1, 5), [1, 4], [5, 1.5]),
        (space.qrandint(1, 9, 4), [4, 8], [0, 1, 12, 4.0]),
        (space.qrandint(0, 2**53, 2), [2**53], [2**53 - 1]),
        (space.qlograndint(1, 9, 4), [4, 8], [2]),
        (space.quniform(0, 1, 0.1), [0, 0.3, 1], [0.25, 1.1, -0.1, math.inf, True]),
        (space.qloguniform(0.1, 1, 0.1), [0.1, 0.7], [0, 0.15]),
        (space.randn(), [0, -1e9], [math.inf, "0"]),
        (space.qrandn(0, 1, 0.5), [0, -3.5], [0.3]),
        (
            space.choice([1, "a", [1, {"b": 2}]]),
            [1, 1.0, "a", [1, {"b": 2}], (1, {"b": 2})],
            [True, "b", [1], {3}],
        ),
        (space.grid_search([0, None]), [0, None], [False, ""]),
    ],
    ids=str,
)
def test_contains(domain, inside, outside):
    assert [value for value in inside if not domain.contains(value)] == []
    assert [value for value in outside if domain.contains(value)] == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: space.uniform(2, 1), "uniform(…): got uniform(2.0, 1.0), expected lower < upper."),
        (lambda: space.uniform(1, 1), "expected lower < upper"),
        (lambda: space.uniform(math.nan, 1), "uniform(lower=…): got nan, expected a finite number."),
        (lambda: space.uniform(0, math.inf), "uniform(upper=…): got inf, expected a finite number."),
        (lambda: space.uniform(-1e308, 1e308), "expected bounds whose difference is a finite float"),
        (lambda: space.uniform("low", 1), "uniform(lower=…): got 'low', expected a valid number"),
        (lambda: space.uniform(True, 2), "uniform(lower=…): got True, expected a number"),
        (lambda: space.loguniform(0, 1), "loguniform(lower=…): got 0, expected greater than 0."),
        (lambda: space.loguniform(-2, -1), "loguniform(lower=…): got -2"),
        (lambda: space.lograndint(0, 3), "lograndint(lower=…): got 0"),
        (lambda: space.randint(3, 3), "randint(…): got randint(3, 3), expected lower < upper"),
        (lambda: space.randint(0.5, 3), "randint(lower=…): got 0.5, expected a valid integer"),
        (lambda: space.randint(0, 2**60), "randint(upper=…)"),
        (lambda: space.quniform(0, 1, 0), "quniform(q=…): got 0, expected greater than 0."),
        (lambda: space.quniform(2, 1, 0.1), "expected lower <= upper"),
        (lambda: space.quniform(0.11, 0.19, 0.1), "expected a multiple of q between lower and upper"),
        (lambda: space.qrandint(5, 7, 4), "expected a multiple of q between lower and upper"),
        (lambda: space.quniform(0, 1, 1e-14), "expected a q of at least 1e-12"),
        (lambda: space.qrandn(0, 1, 1e-14), "expected a q of at least"),
        (lambda: space.randn(0, 0), "randn(sd=…): got 0, expected greater than 0."),
        (lambda: space.choice([]), "choice(categories=…): got [], expected at least one value."),
        (lambda: space.choice("abc"), "choice(categories=…): got 'abc', expected a list of values."),
        (lambda: space.choice({1, 2}), "expected a list of values"),
        (
            lambda: space.choice([1, {"f": [print]}]),
            "choice(categories=…)[1]['f'][0]: got <built-in function print>",
        ),
        (lambda: space.choice([math.nan]), "JSON has neither NaN nor infinity"),
        (lambda: space.choice([space.uniform(0, 1)]), "A domain must be the value of a dict key of its own"),
        (lambda: space.choice([{1: 2}]), "expected keys that are strings"),
        (lambda: space.grid_search([]), "grid_search(values=…): got [], expected at least one value."),
        (lambda: space.uniform(0, 1).quantile(1.5), "quantile(u=…): got 1.5"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InvalidParameter) as caught:
        make()
    assert message in str(caught.value)


def test_domains_are_values():
    assert repr(space.loguniform(1e-5, 0.1)) == str(space.loguniform(1e-5, 0.1)) == "loguniform(1e-05, 0.1)"
    assert repr(space.choice((1, "a"))) == "choice([1, 'a'])"
    assert space.uniform(0, 1) == space.Uniform(lower=0, upper=1)
    assert space.uniform(0, 1) != space.quniform(0, 1, 0.1)
    assert space.choice([0, 1]) != space.choice([False, True])
    assert space.choice([{"a": 1}]) == space.choice([{"a": 1.0}])
    assert len({space.choice([[1]]), space.choice([[1]]), space.grid_search([[1]])}) == 2
    with pytest.raises(ValidationError, match="frozen"):
        space.uniform(0, 1).lower = 3


def test_categories_become_plain_values_of_their_own():
    class Colour(StrEnum):
        RED = "red"

    given = [np.int64(1), (1, np.float64(2)), Colour.RED, {"a": [1]}]
    domain = space.choice(given)
    assert domain.to_json()["categories"] == [1, [1, 2.0], "red", {"a": [1]}]
    assert [type(item) for item in domain.categories] == [int, list, str, dict]
    given[3]["a"].append(2)
    domain.quantile(0.99)["a"].append(3)
    assert domain.quantile(0.99) == {"a": [1]}
    assert space.choice(np.arange(3)) == space.choice(range(3))


def test_the_schema_is_a_form_with_tabs():
    schema = ANY_DOMAIN.json_schema()
    assert schema["type"] == "object"
    assert len(schema["anyOf"]) == 13
    assert not {"oneOf", "discriminator"} & schema.keys()
    for member in schema["$defs"].values():
        if member:  # the definition of "any JSON value" is empty
            assert "type" in member["required"]
            assert member["additionalProperties"] is False
            assert all(key == "type" or "description" in field for key, field in member["properties"].items())
    assert schema["$defs"]["LogUniform"]["properties"]["lower"]["exclusiveMinimum"] == 0
    assert schema["$defs"]["Choice"]["properties"]["categories"]["minItems"] == 1
    assert schema["$defs"]["SampleFrom"]["properties"]["function"]["type"] == "string"


def test_the_union_validates_by_type():
    assert ANY_DOMAIN.validate_python(space.uniform(0, 1)) == space.uniform(0, 1)
    with pytest.raises(ValidationError, match="expected lower < upper"):
        ANY_DOMAIN.validate_python({"type": "uniform", "lower": 2, "upper": 1})
    with pytest.raises(ValidationError, match="'loguniform'"):
        ANY_DOMAIN.validate_python({"type": "logunifrm"})


def test_a_union_of_one_model_stays_that_model():
    schema = TypeAdapter(Annotated[space.Randn, FormUnion()]).json_schema()
    assert schema["title"] == "Randn"
