"""What every kind of policy has in common: its place in the registries, its form in the UI."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from tune_flows.core.policy import Policy
from tune_flows.schedulers import SCHEDULERS, AnyScheduler, ASHAScheduler, parse_scheduler
from tune_flows.search import SEARCH_ALGS, AnySearchAlg

KINDS = [*SEARCH_ALGS.items(), *SCHEDULERS.items()]


@pytest.mark.parametrize(("union", "kinds"), [(AnySearchAlg, SEARCH_ALGS), (AnyScheduler, SCHEDULERS)])
def test_the_union_holds_every_kind_and_is_a_form_that_the_ui_can_show(
    union: Any, kinds: dict[str, Any]
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(union)
    schema = adapter.json_schema()
    assert schema["type"] == "object"
    assert "oneOf" not in json.dumps(schema)
    assert len(schema["anyOf"]) == len(kinds)
    for name, kind in kinds.items():
        assert adapter.validate_python({"type": name}) == kind()


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_kind_has_a_title_a_line_of_help_and_described_fields(name: str, kind: type[Policy]) -> None:
    schema = kind.model_json_schema()
    assert kind.kind() == name == schema["properties"]["type"]["const"]
    assert schema["title"] != kind.__name__
    assert schema["description"].splitlines()[0].endswith(".")
    assert schema["additionalProperties"] is False
    for field, form in schema["properties"].items():
        assert field == "type" or form.get("description"), field


def test_a_subclass_of_a_built_in_kind_is_a_kind_of_its_own() -> None:
    form = Sooner().to_config()
    assert form["type"] == "tests.schedulers.test_kinds:Sooner"
    assert type(parse_scheduler(form)).__name__ == "Sooner"


class Sooner(ASHAScheduler):
    """Another default."""

    max_t: int = 10
