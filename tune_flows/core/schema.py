"""Form schemas for pydantic models, and readable messages for their validation errors."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.invalid_value import InvalidValue, closest

__all__ = ["FormOf", "FormOfKinds", "FormUnion", "InForm", "InvalidValue", "closest", "invalid_parameter"]


class FormUnion:
    """Annotation that gives a discriminated union of models a usable form in the Prefect UI.

    `Annotated[A | B, Field(discriminator="type"), FormUnion()]` validates as before; only the JSON schema
    differs:

    - `anyOf` without `discriminator`, because the UI's tabs do not switch on `oneOf`;
    - members with fewer fields first: the UI selects the first one that shares the most fields with a value;
    - `"type": "object"`, which enables "Use JSON Input" for the field;
    - `type` is a required select with one choice, so that the server rejects what the run would reject;
    - a member's description is the first paragraph of its docstring, because space is limited;
    - `if`/`then` repeats the choice beside `anyOf`: forms ignore it, but without it the server's messages
      only say that no member of `anyOf` matches.
    """

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        discriminator = schema.pop("discriminator", None)
        members = schema.pop("oneOf", None) or schema.pop("anyOf", None)
        if members is None:  # a single model is not a union
            return schema
        if discriminator is None:
            return {**schema, "type": "object", "anyOf": members}
        key: str = discriminator["propertyName"]
        kinds: dict[str, str] = discriminator["mapping"]
        for kind, reference in kinds.items():
            _make_tab(handler.resolve_ref_schema({"$ref": reference}), key, kind)
        members = sorted(members, key=lambda member: len(handler.resolve_ref_schema(member)["properties"]))
        form = {**schema, "type": "object", "anyOf": members}
        return form | _by_kind(key, kinds, {"enum": list(kinds)})


def _make_tab(definition: JsonSchemaValue, key: str, kind: str) -> None:
    """Change the definition of a member so that the form can show it and distinguish it from the others."""
    definition["required"] = [key, *(name for name in definition.get("required", []) if name != key)]
    definition["properties"][key] = {"type": "string", "enum": [kind], "default": kind, "title": key}
    if "description" in definition:
        definition["description"] = " ".join(definition["description"].split("\n\n")[0].split())


def _by_kind(key: str, kinds: dict[str, str], other: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that validates a value only against the kind that its `key` names.

    Args:
        key: The property that names the kind.
        kinds: Kind name to the reference of its schema.
        other: Schema of `key` for a value of any other kind.
    """
    schema: dict[str, Any] = {"required": [key], "properties": {key: other}}
    for kind, reference in reversed(kinds.items()):
        is_it = {"required": [key], "properties": {key: {"const": kind}}}
        schema = {"if": is_it, "then": {"$ref": reference}, "else": schema}
    return schema


def invalid_parameter(
    error: ValidationError,
    name: str | Callable[[str], str],
    model: type[BaseModel],
    hints: Mapping[str, str] | None = None,
) -> InvalidParameter:
    """Convert the first error of a pydantic validation to an error for the caller.

    Args:
        error: The error that validation raised.
        name: Name of the parameter that `model` validates; or a function from a field of `model` to the name
            of its parameter, called with "" when the error does not concern a single field.
        model: The model that failed to validate.
        hints: For names of fields that `model` does not have, a hint on what to do instead.
    """
    detail = error.errors(include_url=False)[0]
    loc = [str(part) for part in detail["loc"]]
    field = loc[0] if loc else ""
    whole = name if isinstance(name, str) else name("")
    parameter = ".".join([name, *loc]) if isinstance(name, str) else name(field)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, InvalidValue):
        return cause.for_parameter(f"{parameter}." if not loc and cause.where[:1].isalpha() else parameter)
    if detail["type"] == "missing" and len(loc) == 1:
        return InvalidParameter.of(whole, detail["input"], f"a value for {field!r} too")
    if detail["type"] == "extra_forbidden" and len(loc) == 1:
        known = [key for key in model.model_fields if key != "type"]
        expected = f"only the fields {', '.join(known)}" if known else "no fields"
        hint = (hints or {}).get(field) or closest(field, known)
        return InvalidParameter.of(whole, {field: detail["input"]}, expected, hint)
    expected = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return InvalidParameter.of(parameter, detail["input"], expected[:1].lower() + expected[1:])


class FormOf:
    """Annotation of a flow parameter that has the form of `shape` but is validated by the flow itself.

    A script can then pass objects that no JSON schema describes, such as instances of user classes, and every
    validation error is raised by the flow.

    Args:
        shape: Type from which the form and the server's validation are generated.
        keywords: Keywords to add to its JSON schema.
    """

    def __init__(self, shape: object, **keywords: Any) -> None:  # noqa: ANN401 - any JSON value
        self._shape = shape
        self._keywords = keywords

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        shape = handler.generate_schema(self._shape)
        return core_schema.json_or_python_schema(json_schema=shape, python_schema=core_schema.any_schema())

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), **self._keywords}


class FormOfKinds(FormOf):
    """`FormOf` for a `FormUnion`, with an additional member for a user's own kind, by import path."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        form = super().__get_pydantic_json_schema__(schema, handler)
        other = form
        while "else" in other:
            other = other["else"]
        kinds = "|".join(other["properties"]["type"]["enum"])
        other["properties"]["type"] = {"type": "string", "pattern": f"^({kinds}|[^:]+:[^:]+)$"}
        own = {  # matches the built-in kinds too: errors in those are reported by the `if`s
            "title": "My own, by import path",
            "type": "object",
            "properties": {"type": {"type": "string", "title": "type"}},
            "required": ["type"],
            "additionalProperties": True,
        }
        return {**form, "anyOf": [*form["anyOf"], own]}


class InForm:
    """Annotation that adds keywords to the JSON schema only; the flow checks them with its own messages.

    Args:
        keywords: JSON schema keywords, such as `minimum`.
    """

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401 - any JSON value
        self._keywords = keywords

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), **self._keywords}
