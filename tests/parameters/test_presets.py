"""Flows whose trainable is fixed: what is left on their form, what reaches `tune`, where they are found."""

import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from prefect.deployments.runner import EntrypointType
from prefect.exceptions import SignatureMismatchError
from prefect.flows import load_flow_from_entrypoint

from tune_flows import InvalidParameter, loguniform, sample_from, tune
from tune_flows.core.allowed import ALLOWED_VARIABLE
from tune_flows.core.space import ParamSpace
from tune_flows.schedulers import ASHAScheduler
from tune_flows.search import OptunaSearch
from tune_flows.tasks.flow_class import TuneFlow, tune_flow

REFERENCE = {"$ref": {"block_document_slug": "experiment-storage/lake"}}


def run_name(parameters: Any) -> str:
    return f"{parameters['trainable']}/{parameters.get('name')}"


@tune_flow(name="small", run_name=run_name)
def small(
    trainable: Any,
    param_space: Any,
    metric: str | None = None,
    num_samples: int = 10,
    search_alg: Any = None,
    scheduler: Any = None,
    name: str | None = None,
    storage_path: Any = None,
) -> dict[str, Any]:
    """Give back what arrived.

    Args:
        trainable: What to train.
        param_space: What to search.
        metric: What to tune, over
            two lines.
        num_samples: How many.
        search_alg: How they are chosen.
        scheduler: Who goes on.
        name: Of the experiment.
        storage_path: Where it lies.
    """
    return dict(locals())


def train(config: dict[str, Any]) -> None:
    """Nothing."""


def drawn(config: dict[str, Any]) -> int:
    return 1


narrowed = small.with_trainable(
    f"{__name__}:train",
    name="narrowed",
    param_space={"lr": loguniform(1, 2), "f": {"type": "sample_from", "function": f"{__name__}:drawn"}},
    metric="loss",
    presets={"num_samples": 50, "scheduler": ASHAScheduler(max_t=9)},
)


def test_only_what_is_open_is_a_parameter():
    properties = narrowed.parameters.properties

    assert list(properties) == ["num_samples", "search_alg", "scheduler", "name", "storage_path"]
    assert narrowed.parameters.required == []
    assert properties["num_samples"]["default"] == 50
    assert properties["num_samples"]["description"] == "How many."
    assert properties["scheduler"]["default"] == ASHAScheduler(max_t=9).to_config()
    assert [shown["position"] for shown in properties.values()] == [0, 1, 2, 3, 4]


def test_presets_are_written_as_the_form_writes_them():
    presets = {"scheduler": "asha", "search_alg": None, "param_space": {"lr": loguniform(1, 2)}}
    defaults = small.with_trainable(train, presets=presets).parameters.properties

    assert defaults["scheduler"]["default"] == ASHAScheduler().to_config()
    assert defaults["search_alg"]["default"]["type"] == "random"
    assert defaults["param_space"]["default"] == {"lr": loguniform(1, 2).to_json()}


def test_fixed_and_open_parameters_reach_the_function():
    got = narrowed.fn(num_samples=3, name="mine")

    assert got["trainable"] is train
    assert got["param_space"] == ParamSpace.parse({"lr": loguniform(1, 2), "f": sample_from(drawn)})
    assert (got["metric"], got["num_samples"], got["name"], got["search_alg"]) == ("loss", 3, "mine", None)


def test_fixed_paths_are_the_authors_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, "")
    scheduler = {"type": "tests.integration.policies:StopAt", "first": 3}
    space = {"f": {"type": "sample_from", "function": f"{__name__}:drawn"}}

    got = small.with_trainable(f"{__name__}:train", param_space=space, scheduler=scheduler).fn()

    assert got["trainable"] is train
    assert got["scheduler"].first == 3
    assert got["param_space"].sample(None) == {"f": 1}


@pytest.mark.parametrize("parameter", ["trainable", "param_space", "metric"])
def test_what_is_fixed_cannot_be_given(parameter: str):
    with pytest.raises(SignatureMismatchError, match=parameter):
        narrowed.validate_parameters({parameter: "os:system"})
    with pytest.raises(TypeError, match=parameter):
        narrowed.fn(**{parameter: "os:system"})


@pytest.mark.parametrize(
    ("flow", "args", "given", "message"),
    [
        (
            tune,
            (train, {"lr": 1}),
            {"num_sample": 2},
            "tune: got 'num_sample', expected one of its parameters. Did you mean 'num_samples'?",
        ),
        (
            small,
            (train, {"lr": 1}),
            {"zzzzz": 2, "return_state": True},
            "small: got 'zzzzz', expected one of its parameters. There are: trainable, param_space, metric, "
            "num_samples, search_alg, scheduler, name, storage_path.",
        ),
        (tune, (train,), {}, "param_space: got nothing, expected a value; tune has no default for it."),
        (
            tune,
            (),
            {"param_space": {"lr": 1}, "wait_for": []},
            "trainable: got nothing, expected a value; tune has no default for it.",
        ),
        (
            small.with_trainable(train),
            (),
            {"metric": "loss"},
            "param_space: got nothing, expected a value; tune-train has no default for it.",
        ),
        (
            narrowed,
            (),
            {"nmu_samples": 1},
            "narrowed: got 'nmu_samples', expected one of its parameters. Did you mean 'num_samples'?",
        ),
        (
            narrowed,
            (),
            {"metric": "loss"},
            "narrowed: got 'metric', expected one of its parameters. There are: num_samples, search_alg, "
            "scheduler, name, storage_path.",
        ),
        (
            narrowed,
            (train,),
            {},
            "narrowed: got too many positional arguments, expected each parameter once, by name.",
        ),
        (
            tune,
            (train, {"lr": 1}),
            {"trainable": train},
            "tune: got multiple values for argument 'trainable', expected each parameter once, by name.",
        ),
    ],
)
def test_a_call_that_does_not_fit_is_refused_in_one_line(
    flow: Any, args: tuple[Any, ...], given: dict[str, Any], message: str
):
    with pytest.raises(InvalidParameter) as raised:
        flow(*args, **given)
    assert str(raised.value) == message


def test_a_call_that_fits_goes_to_prefect(monkeypatch: pytest.MonkeyPatch):
    began: list[dict[str, Any]] = []
    monkeypatch.setattr("prefect.flow_engine.run_flow", lambda **given: began.append(given))  # needs a server

    narrowed(num_samples=3, return_state=True, wait_for=[])
    small(train, {"lr": 1}, "loss")

    assert [given["return_type"] for given in began] == ["state", "result"]
    assert [given["wait_for"] for given in began] == [[], None]
    assert began[0]["parameters"]["num_samples"] == 3
    assert began[1]["parameters"]["metric"] == "loss"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nmu_samples": 1}, "with_trainable: got 'nmu_samples'.*Did you mean 'num_samples'?"),
        ({"presets": {"trainable": "a:b"}}, "with_trainable: got 'trainable'"),
        ({"num_samples": 1, "presets": {"num_samples": 2}}, "either fixed or among the presets"),
        ({"num_samples": "many"}, "num_samples: got 'many', expected a valid integer"),
        ({"presets": {"metric": 3}}, "metric: got 3"),
        ({"storage_path": REFERENCE}, r"storage_path: got \{'\$ref'.* 'block:NAME'"),
        ({"num_samples": REFERENCE}, "num_samples: got .*, expected a value, not a reference"),
        ({"param_space": {"a": {"type": "uniform"}}}, r"param_space\['a'\]"),
        ({"scheduler": {"type": "ahsa"}}, "Did you mean 'asha'?"),
        ({"search_alg": {"type": "no_such_package:Search"}}, "search_alg.type: got"),
    ],
    ids=str,
)
def test_a_mistake_of_the_author_is_told_at_once(arguments: dict[str, Any], message: str):
    with pytest.raises(InvalidParameter, match=message):
        small.with_trainable(train, **arguments)


def test_a_block_is_fixed_by_its_name_and_preset_by_a_reference_too():
    fixed = small.with_trainable(train, param_space={"a": 1}, storage_path="block:lake")
    assert fixed.fn()["storage_path"] == "block:lake"
    preset = small.with_trainable(train, presets={"storage_path": REFERENCE}).parameters.properties
    assert preset["storage_path"]["default"] == REFERENCE


def test_a_narrowed_flow_stays_as_it_is():
    with pytest.raises(InvalidParameter, match="fixed trainable"):
        narrowed.with_trainable(train)


def test_a_path_is_imported_when_a_run_begins():
    flow = small.with_trainable("no_such_package.mod:train", param_space={"a": 1})

    assert (flow.name, flow.description) == (
        "tune-train",
        "Tune `no_such_package.mod:train`. Fixed here: `param_space`.",
    )
    with pytest.raises(InvalidParameter, match=r"^trainable: got 'no_such_package.mod:train'"):
        flow.fn()


def test_runs_are_named_by_fixed_and_open_parameters():
    named = narrowed.flow_run_name
    assert callable(named)
    assert named() == f"{__name__}:train/None"


def test_options_of_prefect_keep_the_class_and_are_kept():
    changed = small.with_options(retries=2).with_trainable(train).with_options(timeout_seconds=9)

    assert isinstance(changed, TuneFlow)
    assert (changed.retries, changed.timeout_seconds, changed.is_narrowed) == (2, 9.0, True)
    assert cloudpickle.loads(cloudpickle.dumps(changed)).name == changed.name


SOURCE = """
from tune_flows import tune

def make():
    return tune.with_trainable("pkg.mod:train", name="made", param_space={"a": 1})

at_home = tune.with_trainable("pkg.mod:train", name="at-home", param_space={"a": 1})
options = at_home.with_options(name="options", retries=1)
"""


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a user's, imported."""
    (tmp_path / "narrowed_flows.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "narrowed_flows", raising=False)
    import narrowed_flows  # pyright: ignore

    return narrowed_flows


@pytest.mark.parametrize("variable", ["at_home", "options"])
def test_a_deployment_finds_the_variable(flows: Any, variable: str):
    flow = getattr(flows, variable)

    by_module = flow.to_deployment("x", entrypoint_type=EntrypointType.MODULE_PATH)
    assert by_module.entrypoint == f"narrowed_flows.{variable}"
    assert load_flow_from_entrypoint(f"narrowed_flows:{variable}") is flow
    by_file = flow.to_deployment("x")
    assert by_file.entrypoint == f"narrowed_flows.py:{variable}"
    loaded = load_flow_from_entrypoint(by_file.entrypoint)
    assert loaded.name == flow.name
    assert loaded.parameters == flow.parameters
    assert "trainable" not in flow.parameters.properties


def test_a_flow_without_a_variable_cannot_be_deployed(flows: Any):
    with pytest.raises(InvalidParameter, match=r"got 'made', expected .* variable at the top level"):
        flows.make().to_deployment("x")


def test_a_deployment_takes_objects_as_parameters():
    given = {"search_alg": OptunaSearch(seed=7), "trainable": train}

    made = tune.to_deployment("x", parameters=given)

    assert made.parameters == {
        "search_alg": OptunaSearch(seed=7).to_config(),
        "trainable": f"{__name__}:train",
    }
