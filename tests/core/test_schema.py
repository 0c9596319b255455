"""What Prefect's server says of a parameter, which it checks by the JSON schema alone."""

from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tune_flows.core.schema import FormOfKinds, FormUnion


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["cat"] = "cat"
    lives: int = Field(default=9, ge=1)


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["dog"] = "dog"
    lives: int = Field(default=1, ge=1)


Pet = Annotated[Cat | Dog, Field(discriminator="type"), FormUnion()]
SCHEMA = TypeAdapter(Annotated[Any, FormOfKinds(Pet)]).json_schema()


@pytest.mark.parametrize(
    "value",
    [{"type": "cat"}, {"type": "dog", "lives": 2}, {"type": "my_zoo.pets:Newt", "tail": {"length_cm": 4}}],
)
def test_every_kind_passes(value: dict[str, Any]):
    jsonschema.validate(value, SCHEMA)


@pytest.mark.parametrize(
    ("value", "where", "why"),
    [
        ({"lives": 3}, "$", "'type' is a required property"),
        ({"type": "cow"}, "$.type", "'cow' does not match '^(cat|dog|[^:]+:[^:]+)$'"),
        ({"type": "dog", "lives": 0}, "$.lives", "0 is less than the minimum of 1"),
        ({"type": "cat", "life": 3}, "$", "('life' was unexpected)"),
        ("cat", "$", "'cat' is not of type 'object'"),
    ],
)
def test_a_refusal_names_what_is_wrong(value: object, where: str, why: str):
    with pytest.raises(jsonschema.ValidationError) as refused:
        jsonschema.validate(value, SCHEMA)

    assert refused.value.json_path == where
    assert why in refused.value.message
