"""Types of the parameters of `tune`, which determine what the run form shows and the server checks.

Rules of this module:

- The Prefect server rejects values that violate these types before a run is created: on the form, on the
  command line, in `run_deployment`. The server knows only the JSON schema.
- A bound is never stricter than the flow's own check, which gives Python callers its own error message.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tune_flows.core.schema import FormOf, FormOfKinds, InForm
from tune_flows.core.space import AnyDomain
from tune_flows.executors.bundles import Strategy
from tune_flows.parameters.configs import CheckpointConfig, FailureConfig
from tune_flows.schedulers import AnyScheduler, FIFOScheduler
from tune_flows.search import AnySearchAlg, RandomSearch

__all__ = [
    "FIFO",
    "NO_CHECKPOINTS",
    "NO_CRITERIA",
    "NO_FAILURES",
    "RANDOM_SEARCH",
    "Checkpoint",
    "Failure",
    "Name",
    "NonNegativeSeconds",
    "NumSamples",
    "ParamSpace",
    "PositiveCount",
    "PositiveNumber",
    "Resources",
    "Scheduler",
    "SearchAlg",
    "Stop",
    "Text",
    "Trainable",
]

NumSamples = Annotated[int, InForm(**{"minimum": -1, "not": {"const": 0}})]
"""Number of trials; -1: no limit."""
PositiveCount = Annotated[int, InForm(minimum=1)]
PositiveNumber = Annotated[float, InForm(exclusiveMinimum=0)]
NonNegativeSeconds = Annotated[float, InForm(minimum=0)]
Text = Annotated[str, InForm(minLength=1)]
Name = Annotated[str, InForm(pattern=r"^([A-Za-z0-9._-]|\{[a-z_]+\})+$")]
"""Name of an experiment; placeholders in braces are filled in."""

Trainable = Annotated[Any, WithJsonSchema({"type": "string", "pattern": r"^[\w.-]+[:.][\w.]+$"})]
"""A function, a Trainable class or `with_parameters(...)`; in a deployment, an import path."""


class _SpaceForm(FormOf):
    """A mapping whose values with a domain's `type` must be valid domains; the flow checks nested ones."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        form = super().__get_pydantic_json_schema__(schema, handler)
        entry = {key: form["additionalProperties"][key] for key in ("if", "then", "else")}
        last = entry
        while "else" in last["else"]:
            last = last["else"]
        del last["else"]  # not a domain: a constant, or a nested mapping
        return {**form, "additionalProperties": {"if": {"type": "object"}, "then": entry}}


ParamSpace = Annotated[Any, _SpaceForm(dict[str, AnyDomain], minProperties=1)]
SearchAlg = Annotated[Any, FormOfKinds(AnySearchAlg)]
Scheduler = Annotated[Any, FormOfKinds(AnyScheduler)]
Checkpoint = Annotated[Any, FormOf(CheckpointConfig)]
Failure = Annotated[Any, FormOf(FailureConfig)]
# Defaults: None would work in Python, but the form would submit it instead of the fields that it shows.
RANDOM_SEARCH = RandomSearch()
FIFO = FIFOScheduler()
NO_CHECKPOINTS = CheckpointConfig()
NO_FAILURES = FailureConfig()
NO_CRITERIA: Mapping[str, float] = {}

_Criteria = Annotated[dict[str, float], InForm(patternProperties={"^training_iteration$": {"minimum": 1}})]
Stop = Annotated[Any, FormOf(_Criteria)]

_AMOUNT: dict[str, Any] = {"type": "number", "minimum": 0}
_BUNDLE: dict[str, Any] = {
    "title": "Resources",
    "type": "object",
    "properties": {
        "cpu": {**_AMOUNT, "title": "cpu", "description": "Cores; a fraction lets trials share one."},
        "gpu": {**_AMOUNT, "title": "gpu", "description": "Devices; a fraction lets trials share one."},
        "memory": {**_AMOUNT, "title": "memory", "description": "Bytes."},
    },
    "patternProperties": {"^(bundles|strategy)$": {}},  # for the other form, whose message is specific
    "additionalProperties": _AMOUNT,
    "minProperties": 1,
}
_BUNDLES: dict[str, Any] = {"title": "bundles", "type": "array", "items": _BUNDLE, "minItems": 1}
_PLACED: dict[str, Any] = {
    "title": "Bundles, placed together",
    "type": "object",
    "properties": {
        "bundles": _BUNDLES,
        "strategy": {
            "title": "strategy",
            "type": "string",
            "enum": list(get_args(Strategy)),
            "default": "PACK",
            "description": "Together on few nodes or apart on many; the strict ones or not at all.",
        },
    },
    "required": ["bundles"],
    "additionalProperties": False,
}
_KINDS: list[dict[str, Any]] = [_BUNDLE, _PLACED, {**_BUNDLES, "title": "Bundles"}, {"type": "null"}]
_IS_PLACED: dict[str, Any] = {
    "type": "object",
    "anyOf": [{"required": ["bundles"]}, {"required": ["strategy"]}],
}
Resources = Annotated[
    Any,  # for `anyOf` alone the server's message says only that nothing matches
    WithJsonSchema({"anyOf": _KINDS, "if": _IS_PLACED, "then": _PLACED}),
]
