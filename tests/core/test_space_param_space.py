import json
import math
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.space import (
    ParamSpace,
    Uniform,
    choice,
    grid_search,
    loguniform,
    qrandint,
    quniform,
    randint,
    randn,
    sample_from,
    uniform,
)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


SPACE = {
    "model": {"lr": loguniform(1e-5, 1e-1), "name": "mlp", "layers": grid_search([2, 4, 8]), "opt": {}},
    "batch": {"type": "choice", "categories": [16, [32], {"size": 64}]},
    "shape": (np.int64(1), 2.5),
    "seed": {"grid_search": [0, 1]},
    "width": randint(1, 9),
}


def test_parse_sorts_entries_by_path_whatever_the_order():
    space = ParamSpace.parse(SPACE)
    assert list(space.domains) == ["batch", "model/lr", "width"]
    assert list(space.grids) == ["model/layers", "seed"]
    assert space.constants == {"model/name": "mlp", "model/opt": {}, "shape": [1, 2.5]}
    turned = ParamSpace.parse(dict(reversed(SPACE.items())))
    assert turned == space
    assert turned.sample(np.random.default_rng(1)) == space.sample(np.random.default_rng(1))


def test_json_both_ways():
    space = ParamSpace.parse(SPACE)
    form = json.loads(json.dumps(space.to_json(), allow_nan=False))
    assert form["model"]["lr"] == {"type": "loguniform", "lower": 1e-5, "upper": 0.1}
    assert form["seed"] == {"type": "grid_search", "values": [0, 1]}
    assert ParamSpace.parse(form) == space
    assert ParamSpace.parse(form).to_json() == form
    assert pickle.loads(pickle.dumps(space)) == space
    assert repr(ParamSpace.parse({"a": {"b": randn()}})) == "ParamSpace({'a': {'b': randn(0.0, 1.0)}})"


def test_a_sample_is_complete_and_plain(rng):
    space = ParamSpace.parse(SPACE)
    for index in range(space.grid_size):
        config = space.sample(rng, index)
        assert json.loads(json.dumps(config, allow_nan=False)) == config
        assert config.keys() == SPACE.keys()
        assert config["model"].keys() == SPACE["model"].keys()
        assert config["seed"] == index % 2
        assert 1e-5 <= config["model"]["lr"] < 0.1


def test_grid_points_are_every_combination_once():
    space = ParamSpace.parse(SPACE)
    assert space.grid_size == 6
    points = [space.grid_point(index) for index in range(6)]
    assert points[:3] == [
        {"model/layers": 2, "seed": 0},
        {"model/layers": 2, "seed": 1},
        {"model/layers": 4, "seed": 0},
    ]
    assert len({tuple(point.values()) for point in points}) == 6
    assert ParamSpace.parse({"a": 1}).grid_size == 1
    assert ParamSpace.parse({"a": 1}).grid_point(0) == {}


def test_configs_share_nothing_with_the_space(rng):
    space = ParamSpace.parse({"c": [1, {"a": []}], "d": choice([[1]]), "g": grid_search([[2]])})
    before = space.to_json()
    config = space.sample(rng)
    config["c"][1]["a"].append(0)
    config["d"].append(0)
    config["g"].append(0)
    space.to_json()["c"].append(0)
    space.grid_point(0)["g"].append(0)
    value = [1]
    space.resolve({"d": value, "g": [2]})["d"].append(0)
    assert space.to_json() == before
    assert value == [1]


def test_fixed_values_replace_domains_and_leave_the_rest(rng):
    space = ParamSpace.parse(SPACE)
    free = space.sample(np.random.default_rng(3), 5)
    for fixed in (
        {"model/lr": 0.01, "batch": {"size": 64}, "seed": 0},
        {"model": {"lr": np.float64(0.01), "name": "mlp"}, "batch": {"size": 64}, "seed": 0},
    ):
        config = space.sample(np.random.default_rng(3), 5, fixed)
        assert config["model"] == free["model"] | {"lr": 0.01}
        assert config["batch"] == {"size": 64}
        assert config["seed"] == 0
        assert config["width"] == free["width"]
    assert space.sample(rng, 0, free) == free  # a whole configuration may come back


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"modle/lr": 1}, "points_to_evaluate: got 'modle/lr', expected keys of param_space"),
        ({"modle/lr": 1}, "Did you mean 'model/lr'?"),
        ({"model": {"rate": 1}}, "points_to_evaluate: got 'model/rate'"),
        ({"model": 3}, "points_to_evaluate: got 'model'"),
        (
            {"model": {"lr": 7}},
            "points_to_evaluate['model/lr']: got 7, expected a value of loguniform(1e-05, 0.1)",
        ),
        ({"seed": 5}, "expected a value of grid_search([0, 1])"),
        ({"model/name": "cnn"}, "expected 'mlp', the constant in param_space"),
        (
            {"width": print},
            "points_to_evaluate['width']: got <built-in function print>, expected a JSON value",
        ),
        ([1], "points_to_evaluate: got [1], expected a dict"),
    ],
)
def test_fixed_values_must_fit(rng, fixed, message):
    with pytest.raises(InvalidParameter) as caught:
        ParamSpace.parse(SPACE).sample(rng, fixed=fixed)
    assert message in str(caught.value)


def test_resolve_fills_in_the_constants():
    space = ParamSpace.parse({"a": {"x": uniform(0, 1), "k": 1}, "g": grid_search([1, 2])})
    assert space.resolve({"a/x": np.float64(7.5), "g": 3}) == {"a": {"x": 7.5, "k": 1}, "g": 3}
    with pytest.raises(InvalidParameter, match=r"got \['g'\], expected also a/x"):
        space.resolve({"g": 1})
    with pytest.raises(InvalidParameter, match="Did you mean 'a/x'"):
        space.resolve({"a/xx": 1, "g": 1})
    with pytest.raises(InvalidParameter, match=r"config\['g'\]: got nan"):
        space.resolve({"a/x": 1, "g": math.nan})


CIRCULAR: list[object] = []
CIRCULAR.append(CIRCULAR)
KNOWN = "expected one of uniform, quniform, loguniform"


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "param_space: got {}, expected at least one key"),
        (None, "param_space: got None, expected a dict"),
        ([uniform(0, 1)], "param_space: got [uniform(0.0, 1.0)], expected a dict"),
        ({"type": "uniform", "lower": 0, "upper": 1}, "expected a dict of names and domains, not one domain"),
        ({"a/b": 1}, "param_space: got 'a/b', expected keys that are strings, not empty and without '/'"),
        ({"m": {"": 1}}, "param_space['m']: got ''"),
        ({1: 1}, "param_space: got 1, expected keys"),
        (
            {"f": print},
            "param_space['f']: got <built-in function print>, expected a JSON value. Pass an object with",
        ),
        ({"m": {"f": pd.DataFrame({"a": [1]})}}, "param_space['m/f']: got <class 'pandas.DataFrame'>"),
        ({"a": Uniform}, "param_space['a']: got <class"),
        ({"a": Path("x")}, "with_parameters"),
        ({"a": np.zeros(2)}, "Pass a small array as array.tolist()"),
        ({"a": math.inf}, "param_space['a']: got inf, expected a finite number"),
        ({"a": CIRCULAR}, "a value that contains itself"),
        ({"a": [uniform(0, 1)]}, "expected no domain inside a list. Give each domain a dict key of its own."),
        ({"a": [[{"type": "randn", "mean": 0, "sd": 1}]]}, "expected no domain inside a list"),
        ({"a": [{"b": {"type": "randn", "mean": 0, "sd": 1}}]}, "expected no domain inside a list"),
        (
            {"m": {"lr": {"type": "loguniform", "lower": -1, "upper": 2}}},
            "param_space['m/lr'].lower: got -1, expected",
        ),
        (
            {"a": {"type": "uniform", "lower": 3, "upper": 2}},
            "param_space['a']: got uniform(3.0, 2.0), expected lower",
        ),
        (
            {"a": {"type": "uniform", "lower": 3}},
            "param_space['a']: got {'type': 'uniform', 'lower': 3}, expected a",
        ),
        ({"a": {"type": "uniform", "lower": 1, "upper": 2, "uper": 2}}, "Did you mean 'upper'?"),
        (
            {"a": {"type": "logunifrm", "lower": 1, "upper": 2}},
            "param_space['a'].type: got 'logunifrm', " + KNOWN,
        ),
        ({"a": {"type": "logunifrm", "lower": 1, "upper": 2}}, "Did you mean 'loguniform'?"),
        ({"a": {"type": "float", "lower": 1, "upper": 2}}, "choice([{...}])"),
        ({"a": {"type": "randm", "mean": 1, "sd": 2}}, "Did you mean 'randn'?"),
        ({"a": {"type": "categorical", "categories": [1]}}, KNOWN),
        ({"a": {"grid_search": 3}}, "param_space['a'].values: got 3, expected a list of values"),
        (
            {"a": {"type": "choice", "categories": []}},
            "param_space['a'].categories: got [], expected at least one",
        ),
    ],
)
def test_a_bad_space_is_one_error_that_names_the_path(space, message):
    with pytest.raises(InvalidParameter) as caught:
        ParamSpace.parse(space)
    assert message in str(caught.value)


def test_a_dict_with_a_type_of_its_own_is_a_nested_dict():
    for plain in (
        {"type": "adam", "lr": 0.1},
        {"type": "gaussian", "mean": 0, "sd": 1},
        {"type": 3, "lower": 1},
    ):
        assert ParamSpace.parse({"a": plain}).to_json() == {"a": plain}
    clip = ParamSpace.parse({"a": {"type": "clip", "lower": uniform(0, 1), "upper": 2}})
    assert list(clip.domains) == ["a/lower"]


def test_ten_thousand_configs_are_quick(rng):
    space = ParamSpace.parse(
        {
            "a": loguniform(1e-5, 1),
            "b": {"c": choice([1, 2]), "d": quniform(0, 1, 0.1)},
            "e": qrandint(0, 9, 3),
            "f": randn(),
        }
    )
    begun = time.process_time()
    for _ in range(10_000):
        space.sample(rng)
    assert time.process_time() - begun < 2


def test_functions_are_kept_apart_from_domains():
    space = ParamSpace.parse({"a": uniform(0, 1), "b": sample_from(len)})
    assert list(space.domains) == ["a"]
    assert list(space.functions) == ["b"]
    assert space.to_json()["b"] == {"type": "sample_from", "function": "builtins:len"}
