"""Parameters of a run: from a file, from options, from a journal; and what cannot be among them."""

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call
from tests.experiment.simulated_experiment import Curve, SimulatedExperiment
from tests.experiment.test_golden import golden  # noqa: F401
from tune_flows import InvalidParameter, open_experiment, tune
from tune_flows.cli import run as command
from tune_flows.cli.options import Options, RunArguments, assigned
from tune_flows.cli.spec_file import read_spec
from tune_flows.core.rules import Rules
from tune_flows.parameters.session import settings_of
from tune_flows.store.control_files import SESSION_KEY

EXPECTED = {
    "trainable": "train:train",
    "param_space": {"lr": {"type": "loguniform", "lower": 1e-5, "upper": 0.1}, "seed": 7},
    "stop": {"training_iteration": 81},
    "metric": "loss",
}
TEXTS = {
    "spec.yaml": """
trainable: train:train
param_space:
  lr: {type: loguniform, lower: 1e-5, upper: .1}
  seed: 7
stop: {training_iteration: 81}
metric: loss
""",
    "spec.toml": """
trainable = "train:train"
metric = "loss"
stop = { training_iteration = 81 }
[param_space]
lr = { type = "loguniform", lower = 1e-5, upper = 0.1 }
seed = 7
""",
    "spec.json": json.dumps(EXPECTED),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_specification_in_each_format(tmp_path: Path, name: str):
    (tmp_path / name).write_text(TEXTS[name])
    assert read_spec(tmp_path / name) == EXPECTED


def test_yaml_with_anchors(tmp_path: Path):
    file = tmp_path / "spec.yml"
    file.write_text("base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n")
    assert read_spec(file)["more"] == {"a": 1, "b": 3}


BROKEN = {
    "there is none": ("none.yaml", None, "cannot be read"),
    "not YAML": ("a.yaml", "a: [1", "line 1"),
    "not TOML": ("a.toml", "a = ", "Invalid value"),
    "not JSON": ("a.json", "{", "line 1"),
    "not a mapping": ("a.yaml", "- 1", "got list, expected the parameters of tune"),
    "empty": ("a.yaml", "", "got NoneType"),
    "twice in YAML": ("a.yaml", "stop: {a: 1, a: 2}", "'a' is there twice"),
    "twice in JSON": ("a.json", '{"a": 1, "a": 2}', "'a' is there twice"),
    "code in YAML": ("a.yaml", "a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_specification_that_cannot_be_read(tmp_path: Path, case: str):
    name, text, expected = BROKEN[case]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidParameter, match=re.escape(str(tmp_path / name))) as caught:
        read_spec(tmp_path / name)
    assert expected in str(caught.value)


def test_options_win_over_the_specification_and_set_over_options():
    given = RunArguments(
        {"num_samples": 1, "scheduler": "asha", "search_alg": {"type": "random", "seed": 1}}, "file"
    )
    options = Options(
        num_samples=2,
        stop=("training_iteration=81", "loss=0.1"),
        set_=(
            "num_samples=3",
            "scheduler.max_t=27",
            "search_alg.seed=2",
            "name=x",
            "param_space.model.lr=[1]",
        ),
    )
    given.override(options.assignments(), options.set_)
    assert given.parameters == {
        "num_samples": 3,
        "scheduler": {"type": "asha", "max_t": 27},
        "search_alg": {"type": "random", "seed": 2},
        "stop": {"training_iteration": 81, "loss": 0.1},
        "name": "x",
        "param_space": {"model": {"lr": [1]}},
    }


def test_the_mapping_that_was_given_stays_as_it_was():
    spec: dict[str, Any] = {"scheduler": {"type": "asha"}}
    given = RunArguments(spec, "file")
    given.override({}, ["scheduler.max_t=3"])
    assert spec == {"scheduler": {"type": "asha"}}


@pytest.mark.parametrize("setting", ["x", "=1", "a..b=1", 'a={"b"', "a=[1"])
def test_an_assignment_that_is_none(setting: str):
    with pytest.raises(InvalidParameter, match=r"^--set"):
        RunArguments({}, "file").override({}, [setting])


def test_values_are_json_and_else_text():
    assert assigned(["a=1", "b=true", "c=text", 'd="1"', "e=null", "f=1e-3"], "--x") == {
        "a": 1,
        "b": True,
        "c": "text",
        "d": "1",
        "e": None,
        "f": 0.001,
    }


def test_an_error_says_where_its_parameter_comes_from():
    given = RunArguments({"stop": {}, "metric": 3}, "spec.yaml")
    given.override({"num_samples": 0}, ["stop.loss=x"])
    blamed = {
        "num_samples: got 0": "--num-samples: num_samples: got 0",
        "metric: got 3": "spec.yaml: metric: got 3",
        "stop['loss']: got 'x'": "--set stop.loss: stop['loss']: got 'x'",
        "somewhere: else": "somewhere: else",
    }
    for message, expected in blamed.items():
        assert str(given.blamed(InvalidParameter(message))) == expected


def test_names_are_checked_before_anything_runs():
    with pytest.raises(InvalidParameter, match=r"^spec: num_sample: .* Did you mean 'num_samples'\?"):
        RunArguments({"num_sample": 1}, "spec").check_names(tune.fn)
    with pytest.raises(InvalidParameter, match=r"^param_space: got nothing"):
        RunArguments({"trainable": "a:b"}, "spec").check_names(tune.fn)


def test_every_option_is_a_parameter_of_tune():
    options = {field.name for field in fields(Options)} - {"set_"}
    own = set(inspect.signature(command.run).parameters) - {"what", "options", "json"}
    assert options | own <= set(inspect.signature(tune.fn).parameters)


WRONG = {
    "neither": (
        ["run", "spec.ini"],
        "expected a specification (*.yaml, *.yml, *.toml, *.json) or a trainable",
    ),
    "no file": (["run", "/nowhere/spec.yaml"], "/nowhere/spec.yaml: cannot be read"),
    "no JSON": (["run", "a:b", "--param-space", "{"], "--param-space: got '{', expected JSON"),
    "no policy": (["run", "a:b", "--scheduler", '{"type"'], "--scheduler: got"),
    "no threshold": (["run", "a:b", "--stop", "9"], "--stop: got '9', expected NAME=VALUE"),
    "no mode": (["run", "a:b", "--mode", "best"], '"min", "max"'),
    "both": (["resume", "{storage}/ended", "--errored", "--restart-errored"], "expected one of them"),
    "nothing to resume": (["resume", "{storage}/nope"], "there is no experiment here"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused_before_prefect_is_loaded(call: Call, storage: Path, case: str):
    arguments, expected = WRONG[case]
    said = call(*(one.replace("{storage}", str(storage)) for one in arguments))
    assert (said.code, said.out) == (2, "")
    assert expected in said.err
    assert said.err.count("\n") == 1


def test_a_trainable_that_only_its_program_can_name_is_not_resumed(call: Call, tmp_path: Path):
    class Local(Curve):
        """Its name says that it is local."""

    SimulatedExperiment(f"{tmp_path}/local", num_samples=1, trainable=Local).run()
    said = call("resume", tmp_path / "local")
    assert said.code == 2
    assert "only the program that defines it can name" in said.err


def test_what_was_begun_without_a_record_is_not_resumed(call: Call, storage: Path):
    said = call("resume", storage / "new", "--num-samples", "5")
    assert said.code == 2
    assert f"{storage}/new: begun without a record" in said.err
    assert "Run the original command again" in said.err


def test_a_note_that_is_damaged_is_all_that_has_to_go_before_a_resume(call: Call, tmp_path: Path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    (tmp_path / "e" / SESSION_KEY).write_bytes(b"")
    said = call("resume", shop.url)
    assert said.code == 1
    assert f"{shop.url}/{SESSION_KEY}: not a whole" in said.err
    assert f"deleting {SESSION_KEY} is enough" in said.err
    assert "resources_per_trial" in said.err


def test_settings_are_what_no_record_holds():
    arguments = dict.fromkeys(inspect.signature(tune.fn).parameters)
    arguments |= {"ray_address": "auto", "storage_path": "s3://b", "resources_per_trial": {"cpu": 2}}
    noted = settings_of({**arguments, "odd": object()})
    assert noted["ray_address"] == "auto"
    assert noted["resources_per_trial"] == {"cpu": 2}
    assert not {"storage_path", "name", "resume", "max_wall_time_s", "trainable", "odd"} & set(noted)


def test_the_parameters_of_an_experiment_are_those_of_tune(tmp_path: Path):
    rules = Rules(max_failures=2, num_to_keep=1, time_budget_s=99.0, max_concurrent_trials=2)
    shop = SimulatedExperiment(f"{tmp_path}/e", {"type": "asha", "max_t": 9}, rules=rules)
    experiment = shop.experiment()
    experiment._settings = settings_of(
        {"ray_address": "auto", "checkpoint_config": {"checkpoint_frequency": 3}}
    )
    experiment.look()
    experiment.claim()
    shop.run()
    parameters = open_experiment(shop.url).parameters()
    assert set(parameters) | {"storage_path", "name"} <= set(inspect.signature(tune.fn).parameters)
    assert parameters["trainable"] == "tests.experiment.simulated_experiment:Curve"
    assert (parameters["num_samples"], parameters["stop"]) == (6, {"training_iteration": 9})
    assert parameters["scheduler"]["max_t"] == 9
    assert (parameters["time_budget_s"], parameters["max_concurrent_trials"]) == (99.0, 2)
    assert parameters["failure_config"]["max_failures"] == 2
    assert parameters["checkpoint_config"]["num_to_keep"] == 1
    assert parameters["checkpoint_config"]["checkpoint_frequency"] == 3
    assert parameters["ray_address"] == "auto"


def test_an_experiment_of_an_earlier_version_has_parameters_too(golden: Any):  # noqa: F811
    begun, state = golden
    parameters = open_experiment(begun.url).parameters()
    assert parameters["num_samples"] == state["target"]
    assert parameters["stop"] == (state["rules"].get("stop") or None)
    assert "ray_address" not in parameters


def test_a_grid_counts_samples_and_not_trials(tmp_path: Path):
    space = {"x": {"type": "grid_search", "values": [0.1, 0.2, 0.3]}}
    shop = SimulatedExperiment(f"{tmp_path}/e", search_alg={"type": "grid"}, space=space, num_samples=2)
    assert len(shop.run().trials) == 6
    assert open_experiment(shop.url).parameters()["num_samples"] == 2
