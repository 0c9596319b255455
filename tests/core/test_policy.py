import json
import math
import pickle
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from tune_flows.core.errors import InvalidParameter, PolicyError
from tune_flows.core.invalid_value import InvalidValue
from tune_flows.core.policy import Policy, Rng, new_rng, parse_policy
from tune_flows.core.trial import Result

HERE = __name__


@dataclass
class Rung:
    scores: dict[int, float] = field(default_factory=dict)
    best: Result | None = None


class Base(Policy):
    """What the policies of this module are."""


class Halving(Base):
    type: Literal["halving"] = "halving"
    factor: int = Field(default=3, ge=2)
    names: list[str] = Field(default=[])
    lower: float = 0.0

    _rng: Rng = PrivateAttr()
    _scores: dict[int, dict[str, float]] = PrivateAttr(default_factory=dict)
    _rungs: list[Rung] = PrivateAttr(default_factory=list)
    _pair: tuple[int, str] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _fits(self):
        if self.lower > self.factor:
            raise InvalidValue(self.lower, f"at most factor, {self.factor}", where="lower")
        return self

    def setup(self, seed):
        self._rng = new_rng(seed)

    def draw(self):
        return self._rng.random()


class Own(Base):
    share: float = 0.5


class Heir(Halving):
    pass


class Other(Policy):
    pass


KINDS = {"halving": Halving}


def parse(value):
    return parse_policy("scheduler", value, Base, KINDS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("halving", Halving()),
        ({"type": "halving"}, Halving()),
        ({"type": "halving", "factor": 4, "names": ["a"]}, Halving(factor=4, names=["a"])),
        (Halving(factor=5), Halving(factor=5)),
        (f"{HERE}:Own", Own()),
        ({"type": f"{HERE}:Own", "share": 0.25}, Own(share=0.25)),
        (Own(share=0.1), Own(share=0.1)),
    ],
    ids=repr,
)
def test_a_policy_may_be_given_in_many_ways(value, expected):
    parsed = parse(value)
    assert type(parsed) is type(expected)
    assert parsed == expected


def test_an_instance_is_copied_without_its_state():
    policy = Halving(factor=4)
    policy.setup(seed=1)
    policy._scores = {1: {"a": 1.0}}
    parsed = parse(policy)
    assert parsed is not policy
    assert (parsed.factor, parsed._scores) == (4, {})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "scheduler: got 7, expected a Base or a mapping with `type`, one of halving."),
        ({"factor": 3}, "scheduler: got {'factor': 3}, expected a Base or a mapping with `type`"),
        ({"type": 3}, "scheduler: got {'type': 3}, expected a Base"),
        (Other(), "scheduler: got Other(), expected a Base"),
        (
            "halvign",
            "scheduler.type: got 'halvign', expected one of halving, or an import path "
            "`package.module:Class`. Did you mean 'halving'?",
        ),
        ({"type": "zzz"}, "scheduler.type: got 'zzz', expected one of halving"),
        (
            {"type": "halving", "factr": 3},
            "scheduler: got {'factr': 3}, expected only the fields factor, names, lower. "
            "Did you mean 'factor'?",
        ),
        ({"type": "halving", "factor": 1}, "scheduler.factor: got 1, expected greater than or equal to 2."),
        ({"type": "halving", "factor": "x"}, "scheduler.factor: got 'x', expected a valid integer"),
        ({"type": "halving", "names": ["a", 3]}, "scheduler.names.1: got 3, expected a valid string."),
        ({"type": "halving", "lower": 9}, "scheduler.lower: got 9.0, expected at most factor, 3."),
        (
            f"{HERE}:Owm",
            f"scheduler.type: got '{HERE}:Owm', expected the import path of a Base. {HERE} has no 'Owm'. "
            "Did you mean 'Own'?",
        ),
        ("no_such_module:X", "Importing no_such_module failed: ModuleNotFoundError"),
        (f"{HERE}:Other", "expected the import path of a Base. This is <class"),
        (f"{HERE}:HERE", "expected the import path of a Base. This is 'test"),
        (f"{HERE}:", "expected the import path of a Base"),
    ],
    ids=repr,
)
def test_what_is_no_policy_is_refused_by_name(value, message):
    with pytest.raises(InvalidParameter) as raised:
        parse(value)
    assert message in str(raised.value)


OWN_ERRORS = [
    (
        {"factr": 3},
        "Halving: got {'factr': 3}, expected only the fields factor, names, lower. Did you mean 'factor'?",
    ),
    (
        {"metric": "loss", "mode": "min"},
        "Halving: got {'metric': 'loss'}, expected only the fields factor, names, lower. "
        "metric and mode are parameters of tune.",
    ),
    (
        {"time_attr": "step"},
        "Halving: got {'time_attr': 'step'}, expected only the fields factor, names, lower. "
        "Iterations are the only unit here.",
    ),
    ({"factor": 1}, "Halving.factor: got 1, expected greater than or equal to 2."),
    ({"lower": 9}, "Halving.lower: got 9.0, expected at most factor, 3."),
]


@pytest.mark.parametrize(("fields", "message"), OWN_ERRORS, ids=str)
def test_a_mistake_in_python_reads_as_one_in_json(fields, message):
    with pytest.raises(InvalidParameter) as raised:
        Halving(**fields)
    assert str(raised.value) == message
    with pytest.raises(InvalidParameter) as raised:
        parse({"type": "halving", **fields})
    assert str(raised.value) == message.replace("Halving", "scheduler", 1)


def test_pydantic_hears_its_own_errors():
    """In unions and other models: an error of ours would hide where it was."""
    with pytest.raises(ValidationError, match="factor"):
        Halving.model_validate({"factor": 1})
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(list[Own | Halving]).validate_json('[{"type": "halving", "factor": 1}]')
    assert [detail["loc"][-1] for detail in raised.value.errors()] == ["type", "factor", "factor"]


class Hand(Base):
    """A user's policy with an `__init__` of its own, by hand."""

    share: float = 0.5

    def __init__(self, percent=None, **fields):
        super().__init__(**fields, **({} if percent is None else {"share": percent / 100}))


def test_an_init_of_ones_own_goes_on_working():
    assert Hand(25).share == Hand(25).fresh().share == parse({"type": f"{HERE}:Hand", "percent": 25}).share
    message = r"^scheduler: got {'shore': 1}, expected only the fields share. Did you mean 'share'\?"
    with pytest.raises(InvalidParameter, match=message):
        parse({"type": f"{HERE}:Hand", "shore": 1})


@pytest.mark.parametrize("again", [copy, deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copy_has_the_configuration_and_the_state(again):
    policy = Halving(factor=4)
    policy.setup(seed=1)
    copied = again(policy)
    assert copied.to_config() == policy.to_config()
    assert copied.dump_state() == policy.dump_state()


@pytest.mark.parametrize("policy", [Halving(factor=4, names=["ä"]), Own(share=0.1), Heir(factor=7)], ids=repr)
def test_the_configuration_survives_json(policy):
    config = json.loads(json.dumps(policy.to_config(), allow_nan=False))
    assert parse(config) == policy
    assert type(parse(config)) is type(policy)


def test_a_kind_is_named_by_its_literal_or_its_import_path():
    assert Halving.kind() == "halving"
    assert Own.kind() == f"{HERE}:Own"
    assert Heir.kind() == f"{HERE}:Heir"


def test_the_state_survives_json():
    policy = Halving()
    policy.setup(seed=3)
    policy.draw()
    policy._scores = {1: {"a": math.nan, "b": -math.inf}, 30: {}}
    policy._rungs = [Rung(), Rung({3: math.nan}, Result(1, {"loss": math.nan}, 0.1, 0.2, 3.0))]
    policy._pair = (1, "x")
    state = json.loads(json.dumps(policy.dump_state(), allow_nan=False))

    other = policy.fresh()
    other.load_state(state)
    assert repr(other._scores) == repr(policy._scores)
    assert list(other._scores) == [1, 30]
    assert repr(other._rungs) == repr(policy._rungs)
    assert other._pair == (1, "x")
    assert [other.draw() for _ in range(5)] == [policy.draw() for _ in range(5)]
    assert other.dump_state() == policy.dump_state()


def test_a_loaded_state_is_not_shared():
    policy = Halving()
    policy.setup(seed=3)
    other = policy.fresh()
    other.load_state(policy.dump_state())
    other._scores[1] = {"a": 1.0}
    other.draw()
    assert policy._scores == {}
    assert policy.dump_state()["_rng"] != other.dump_state()["_rng"]


def test_a_state_of_another_kind_is_refused():
    policy = Halving()
    policy.setup(seed=3)
    state = policy.dump_state()
    with pytest.raises(PolicyError, match=r"state of halving: got \['_pair', '_rungs', '_scores'\]"):
        policy.fresh().load_state({name: value for name, value in state.items() if name != "_rng"})
    with pytest.raises(PolicyError, match="cannot be read"):
        policy.fresh().load_state(state | {"_scores": {"one": {"a": 1.0}}})


def test_a_state_that_json_does_not_have_is_named():
    policy = Halving()
    with pytest.raises(PolicyError, match=r"^state of halving: _rng cannot be written as JSON \(.*_rng.*\)"):
        policy.dump_state()
    policy.setup(seed=3)
    policy._scores = {1: {"a": np.int64(1)}}
    with pytest.raises(PolicyError, match=r"_scores cannot .*numpy.int64.*\); convert numpy .* with int\(\)"):
        policy.dump_state()


def test_streams_of_a_seed_are_independent_and_repeatable():
    draws = [new_rng(7, stream).random() for stream in (0, 1, 2, 0)]
    assert draws[0] == draws[3]
    assert len(set(draws)) == 3
