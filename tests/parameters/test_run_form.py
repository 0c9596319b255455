"""The schema of the run form, as the server applies it; Python callers hear errors of our own."""

import json
from typing import Any

import pytest
from prefect.utilities.schema_tools import ValidationError, validate

from tests.parameters.form_cases import BAD, GOOD
from tune_flows import InvalidParameter, loguniform, sample_from, tune, with_parameters
from tune_flows.schedulers import ASHAScheduler, TrialScheduler

SCHEMA = tune.parameters.model_dump_for_openapi()
NEEDED = {"trainable": "package.module:train", "param_space": {"lr": 1}}


@pytest.mark.parametrize("parameters", GOOD, ids=str)
def test_good_parameters_pass(parameters: dict[str, Any]):
    validate(NEEDED | parameters, SCHEMA, raise_on_error=True)


@pytest.mark.parametrize(("parameters", "where", "why"), BAD, ids=[str(case[0]) for case in BAD])
def test_a_refusal_names_the_field_and_the_reason(parameters: dict[str, Any], where: str, why: str):
    with pytest.raises(ValidationError) as refused:
        validate(NEEDED | parameters, SCHEMA, raise_on_error=True)
    assert f"Validation failed for field '{where}'" in str(refused.value)
    assert why in str(refused.value)


def definition(member: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for; anything else as it is."""
    return SCHEMA["definitions"][member["$ref"].rpartition("/")[2]] if "$ref" in member else member


def test_every_parameter_says_what_it_is():
    properties = SCHEMA["properties"]
    for position, (name, shown) in enumerate(properties.items()):
        assert (shown["title"], shown["position"]) == (name, position)
        assert len((definition(shown) | shown)["description"]) > 20, name
    assert SCHEMA["required"] == ["trainable", "param_space"]


def test_what_the_form_submits_untouched_passes():
    """It submits the defaults, null among them."""
    defaults = {name: shown["default"] for name, shown in SCHEMA["properties"].items() if "default" in shown}

    assert defaults.keys() == SCHEMA["properties"].keys() - NEEDED.keys()
    validate(NEEDED | defaults, SCHEMA, raise_on_error=True)


@pytest.mark.parametrize("name", ["search_alg", "scheduler"])
def test_a_choice_of_kinds_is_a_form(name: str):
    *kinds, own = SCHEMA["properties"][name]["anyOf"]

    assert own["title"] == "My own, by import path"
    for kind in map(definition, kinds):
        assert kind["title"]
        assert kind["description"]
        assert "\n" not in kind["description"]
        assert len(kind["properties"]["type"]["enum"]) == 1
        for field, says in kind["properties"].items():
            assert says["title"] == field
            assert field == "type" or says["description"], (kind["title"], field)
            assert "default" in says, (kind["title"], field)


def test_both_user_interfaces_find_the_kind_of_a_value():
    """They show the first kind that has the most fields in common with the value."""
    for name in ("search_alg", "scheduler"):
        kinds = SCHEMA["properties"][name]["anyOf"][:-1]
        fields = [set(definition(kind)["properties"]) for kind in kinds]
        for index, own in enumerate(fields):
            in_common = [len(own & other) for other in fields]
            assert in_common.index(max(in_common)) == index


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("num_samples", "many", "a valid integer"),
        ("mode", "up", "'min' or 'max'"),
        ("time_budget_s", "1h", "a valid number"),
        ("name", 3, "a valid string"),
        ("reuse_actors", "perhaps", "a valid boolean"),
    ],
)
def test_a_wrong_type_is_an_error_of_our_own(parameter: str, value: object, expected: str):
    with pytest.raises(InvalidParameter, match=f"^{parameter}: got {value!r}, expected {expected}"):
        tune.validate_parameters({**NEEDED, parameter: value})


class Own(TrialScheduler):
    """A scheduler without a `type`."""

    patience: int = 3


def train(config: dict[str, Any]) -> None:
    """Nothing."""


def test_objects_reach_the_flow_whole():
    space = {"lr": loguniform(1, 2), "deep": {"f": sample_from(lambda config: 1)}, "text": "{{ 1 }}"}
    given = {"trainable": train, "param_space": space, "scheduler": Own(patience=4), "search_alg": "random"}

    got = tune.validate_parameters(given)

    for name, value in given.items():
        assert got[name] is value
    assert got["num_samples"] == 10


def test_a_run_shows_what_could_be_given_again():
    def local(config: dict[str, Any]) -> None: ...

    shown = tune.serialize_parameters(
        {
            "trainable": train,
            "param_space": {"lr": loguniform(1, 2)},
            "scheduler": Own(patience=4),
            "search_alg": "random",
        }
    )

    assert json.loads(json.dumps(shown)) == shown
    assert shown["trainable"] == f"{__name__}:train"
    assert shown["scheduler"] == {"type": f"{__name__}:Own", "patience": 4}
    assert shown["param_space"] == {"lr": {"type": "loguniform", "lower": 1.0, "upper": 2.0}}
    assert tune.serialize_parameters({"scheduler": ASHAScheduler(max_t=9)})["scheduler"]["max_t"] == 9
    for trainable in (local, with_parameters(train, data=[1])):
        said = tune.serialize_parameters({"trainable": trainable})["trainable"]
        assert f"{__name__}:" in said
        with pytest.raises(ValidationError, match="does not match"):
            validate(NEEDED | {"trainable": said}, SCHEMA, raise_on_error=True)
