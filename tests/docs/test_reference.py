"""docs/reference.md: all parameters and fields with their defaults, all variables, and nothing else."""

import inspect
import re
from itertools import pairwise

import pytest
from pydantic import BaseModel

from tests.docs.test_pages import strings
from tests.docs_example import DOCS, tokens
from tune_flows import CheckpointConfig, FailureConfig, TuneResult, tune


def rows(table: str) -> list[list[str]]:
    """The rows of all tables of the page whose first column has this head."""
    tables: list[list[list[str]]] = []
    for token, inside in pairwise(tokens(DOCS / "reference.md")):
        match token.type:
            case "table_open":
                tables.append([])
            case "tr_open":
                tables[-1].append([])
            case "th_open" | "td_open":
                tables[-1][-1].append(inside.content)
            case _:
                pass
    return [row for head, *body in tables if head[0] == table for row in body]


def defaults(table: str) -> dict[str, str]:
    """From the first column to the second."""
    found = rows(table)
    named = {name.strip("`"): default.strip("`") for name, default, _ in found}
    assert len(named) == len(found)
    return named


def names(table: str) -> list[str]:
    return sorted(name.strip("`") for name, _ in rows(table))


def shown(default: object) -> str:
    if default is inspect.Parameter.empty:
        return ""
    if not isinstance(default, BaseModel):
        return repr(default)
    changed = default.model_dump(exclude_defaults=True)
    return f"{type(default).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


def test_every_parameter_has_its_default():
    parameters = inspect.signature(tune.fn).parameters.values()

    assert defaults("parameter") == {parameter.name: shown(parameter.default) for parameter in parameters}


@pytest.mark.parametrize("group", [CheckpointConfig, FailureConfig])
def test_every_field_of_a_group_has_its_default(group: type[BaseModel]):
    fields = group.model_fields

    documented = defaults(f"field of `{group.__name__}`")
    assert documented == {name: shown(field.default) for name, field in fields.items()}


def test_everything_that_a_result_has():
    own = {name: value for name, value in vars(TuneResult).items() if name[0] != "_"}
    properties = [name for name, value in own.items() if isinstance(value, property)]
    methods = [
        f"{name}({', '.join(list(inspect.signature(value).parameters)[1:])})"
        for name, value in own.items()
        if inspect.isfunction(value)
    ]

    expected = sorted([*TuneResult.model_fields, *properties, *methods])
    assert names("field or method of `TuneResult`") == expected


def test_every_variable():
    read = re.findall(r"^TUNE_FLOWS_[A-Z_]+$", strings(), re.MULTILINE)

    assert names("variable") == sorted(set(read))
