import functools
import pickle

import pytest

from tests.trainable.samples import Counter, train
from tune_flows.core.errors import InvalidParameter
from tune_flows.trainable import Trainable, resolve_trainable, with_parameters

HERE = "tests.trainable.samples"


class NoStep(Trainable):
    pass


class HalfCheckpoint(Counter):
    load_checkpoint = Trainable.load_checkpoint


class NotTrainable:
    def step(self):
        return {}


class WantsData(Counter):
    def setup(self, config, *, data):
        super().setup(config)
        self.data = data


class OwnInit(Counter):
    def __init__(self, config):
        self.config = config


def wants_data(config, data):
    return {"size": len(data)}


async def asynchronous(config):
    pass


@pytest.mark.parametrize("value", [f"{HERE}:train", f"{HERE}.train", train, functools.partial(train)])
def test_the_same_trainable_has_the_same_identity(value):
    spec = resolve_trainable(value)

    assert spec.identity == f"{HERE}:train"
    assert not spec.is_class
    assert spec.can_checkpoint


def test_class_by_path():
    spec = resolve_trainable(f"{HERE}:Counter")

    assert spec.target is Counter
    assert spec.is_class
    assert spec.can_checkpoint
    assert resolve_trainable(spec) is spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_class_without_checkpoints_says_so():
    class Plain(Trainable):
        def step(self):
            return {}

    assert not resolve_trainable(Plain).can_checkpoint


def test_parameters_of_a_function_can_be_placed_elsewhere():
    spec = resolve_trainable(with_parameters(with_parameters(wants_data, data=[]), data=[1, 2]))

    assert spec.call({}) == {"size": 2}
    assert spec.bind({"data": "abc"}).call({}) == {"size": 3}
    assert spec.identity == f"{__name__}:wants_data"


def test_parameters_of_a_class_arrive_in_setup():
    spec = resolve_trainable(with_parameters(WantsData, data=[1]))
    made = spec.make({"a": 1}, trial_id="t", iteration=4)

    assert (made.data, made.config, made.trial_id, made.iteration) == ([1], {"a": 1}, "t", 4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_package.mod:train", "Importing no_such_package.mod failed: ModuleNotFoundError"),
        ("tests.trainable.sampels:train", "Did you mean 'samples'"),
        (f"{HERE}:trian", "has no 'trian'. Did you mean 'train'"),
        ("train", "expected an import path"),
        (f"{HERE}:iterations.x", "has no 'iterations.x'"),
        (3, "got 3, expected an import path"),
        (Counter(), "Pass the class, not an instance"),
        (NoStep, r"a Trainable that defines step\(\)"),
        (HalfCheckpoint, "or neither"),
        (OwnInit, r"made without arguments. setup\(config\) gets"),
        (NotTrainable, "Derive it from tune_flows.Trainable"),
        (lambda: None, r"a function train\(config, ...\).*too many positional"),
        (wants_data, "missing a required argument: 'data'"),
        (
            with_parameters(train, data=1),
            r"can be called as \(config, data=...\).*unexpected keyword argument",
        ),
        (WantsData, "missing a required keyword-only argument: 'data'|missing a required argument: 'data'"),
        (with_parameters(Counter, data=1), "unexpected keyword argument 'data'"),
        (asynchronous, "a plain function"),
    ],
)
def test_what_cannot_be_trained_is_refused(value, message):
    with pytest.raises(InvalidParameter, match=message) as caught:
        resolve_trainable(value)
    assert str(caught.value).startswith("trainable: got ")


def test_a_module_that_raises_is_told_with_its_error(tmp_path, monkeypatch):
    (tmp_path / "broken_module_of_mine.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InvalidParameter, match="ZeroDivisionError: division by zero") as caught:
        resolve_trainable("broken_module_of_mine:train")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "Did you mean" not in str(caught.value)
