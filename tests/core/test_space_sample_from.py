import copy
import functools

import numpy as np
import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.space import ParamSpace, SampleFrom, choice, randint, sample_from, uniform


def twice_a(config):
    return config["a"] * 2


class Rules:
    @staticmethod
    def three():
        return 3


def resolved(space, **values):
    return ParamSpace.parse(space).resolve(values)


def test_functions_read_domains_constants_and_each_other_in_any_order():
    space = {
        "a": sample_from(lambda config: config["b"]["c"] + 1),
        "b": {"c": sample_from(lambda config: config["z"] * config["k"]), "x": uniform(0, 1)},
        "k": 10,
        "z": randint(1, 9),
        "n": sample_from(lambda: 7),
    }
    config = ParamSpace.parse(space).resolve({"b/x": 0.5, "z": 2})
    assert config == {"a": 21, "b": {"c": 20, "x": 0.5}, "k": 10, "z": 2, "n": 7}


def test_ray_style_attribute_access():
    space = {
        "m": {"lr": uniform(0, 1)},
        "s": choice([{"w": [1, 2]}]),
        "y": sample_from(lambda spec: spec.config.m.lr * 2 + spec.config["s"].w[1] + spec.config.z),
        "z": sample_from(lambda spec: spec["m"].lr),
    }
    assert ParamSpace.parse(space).resolve({"m/lr": 0.5, "s": {"w": [1, 2]}})["y"] == 3.5


def test_each_function_runs_once_for_a_config():
    calls = []
    space = {
        "a": sample_from(lambda config: config["b"]),
        "b": sample_from(lambda: calls.append(1) or len(calls)),
        "c": sample_from(lambda config: config["b"]),
    }
    assert resolved(space) == {"a": 1, "b": 1, "c": 1}


def test_the_view_is_a_read_only_mapping():
    seen = {}

    def look(config):
        seen.update(
            keys=sorted(config), size=len(config), has=("me" in config, "no" in config), m=dict(config["m"])
        )
        seen.update(default=config.get("no", 3), text=repr(config), copied=copy.deepcopy(config["m"])["l"])
        config["m"]["l"].append(0)  # a copy
        with pytest.raises(TypeError):
            config["m"]["k"] = 3
        with pytest.raises(AttributeError):
            _ = config.nothing
        return config["m"]

    config = resolved({"m": {"k": 1, "l": [1]}, "me": sample_from(look)})
    assert config["me"] == config["m"] == {"k": 1, "l": [1]}
    assert config["me"] is not config["m"]
    assert seen == {
        "keys": ["m"],
        "size": 1,
        "has": (True, False),
        "m": {"k": 1, "l": [1]},
        "default": 3,
        "text": "ConfigView(m)",
        "copied": [1],
    }


def test_functions_may_look_at_everything_else():
    config = resolved({"a": 1, "b": 2, "sum": sample_from(lambda config: sum(config.values()))})
    assert config["sum"] == 3


def test_a_circle_names_its_members():
    space = {
        "a": sample_from(lambda config: config["m"]["b"]),
        "m": {"b": sample_from(lambda config: config["c"])},
        "c": sample_from(lambda config: config["m"]["b"]),
    }
    with pytest.raises(InvalidParameter, match="wait for each other, m/b -> c -> m/b"):
        resolved(space)
    with pytest.raises(InvalidParameter, match="a -> a"):
        resolved({"a": sample_from(lambda config: config["a"])})


def test_an_exception_names_the_path_it_comes_from():
    space = {
        "a": sample_from(lambda config: config["m"]["b"]),
        "m": {"b": sample_from(lambda config: config["nope"])},
    }
    with pytest.raises(InvalidParameter, match=r"param_space\['m/b'\]: got KeyError\('nope'\)") as caught:
        resolved(space)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(InvalidParameter, match=r"param_space\['a'\]: got InvalidParameter"):
        resolved({"a": sample_from(lambda: uniform(2, 1))})


def test_the_result_must_be_json():
    with pytest.raises(
        InvalidParameter, match=r"param_space\['a'\]: result of .*: got <built-in function print>"
    ):
        resolved({"a": sample_from(lambda: print)})
    assert resolved({"a": sample_from(lambda: (np.int64(1), {"b": np.float64(2)}))}) == {"a": [1, {"b": 2.0}]}


def test_a_given_value_replaces_the_function():
    space = ParamSpace.parse({"a": uniform(0, 1), "b": sample_from(twice_a)})
    rng = np.random.default_rng(0)
    assert space.sample(rng, fixed={"b": 5})["b"] == 5
    assert space.sample(rng, fixed={"a": 0.5})["b"] == 1.0


def test_the_json_form_is_the_import_path():
    path = f"{__name__}:twice_a"
    assert sample_from(twice_a).to_json() == {"type": "sample_from", "function": path}
    assert repr(sample_from(twice_a)) == f"sample_from({path})"
    assert sample_from(twice_a) == sample_from(path) == SampleFrom(function=path)
    assert hash(sample_from(twice_a)) == hash(sample_from(path))
    space = {"a": 4, "b": {"type": "sample_from", "function": path}, "c": sample_from(Rules.three)}
    assert resolved(space) == {"a": 4, "b": 8, "c": 3}
    form = ParamSpace.parse(space).to_json()
    assert ParamSpace.parse(form).to_json() == form
    assert ParamSpace.parse(form) == ParamSpace.parse(space)


@pytest.mark.parametrize(
    ("function", "result"),
    [(lambda config: 1, 1), (functools.partial(twice_a), 8), (functools.partial(twice_a, {"a": 1}), 2)],
    ids=["lambda", "partial", "partial without parameters"],
)
def test_what_cannot_be_imported_works_but_cannot_be_read_back(function, result):
    entry = sample_from(function)
    space = ParamSpace.parse({"a": 4, "b": entry})
    assert space.resolve({})["b"] == result
    assert entry == sample_from(function)
    assert entry != sample_from(lambda config: 2)
    with pytest.raises(InvalidParameter, match=r"\['b'\]\.function: .* use one at the top level of a module"):
        ParamSpace.parse(space.to_json())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, r"sample_from\(func=…\): got 3, expected callable"),
        ("os", "expected an import path such as 'package.module:function'"),
        (lambda a, b: 1, "expected a function of one argument"),
        ("no_such_module:f", r"param_space\['a'\]: got 'no_such_module:f'.*ModuleNotFoundError"),
        ("os:no_such_function", "os has no 'no_such_function'"),
        ("os:sep", "This is '/'"),
        ("operator:add", "expected a function of one argument"),
    ],
)
def test_bad_functions(function, message):
    with pytest.raises(InvalidParameter, match=message):
        ParamSpace.parse({"a": sample_from(function)})
