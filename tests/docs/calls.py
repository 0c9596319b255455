"""Whether calls in Python blocks name parameters that there are, also in code that does not run."""

import ast
import importlib
import inspect
from collections.abc import Iterator, Mapping

from prefect import Flow

import tune_flows
from tests.docs_example import Block
from tune_flows import schedulers, search

_HOMES = (tune_flows, schedulers, search)


def unknown_parameters(block: Block) -> list[str]:
    """Each keyword of a call to something of tune_flows that this does not take."""
    tree = ast.parse(block.source)
    ours = _public() | dict(_imported(tree))
    for name in _others(tree):
        ours.pop(name, None)
    return [
        f"{block}: {ast.unparse(call.func)}({keyword}=)"
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for target, keywords in _targets(call, ours)
        for keyword in keywords
        if not _takes(target, keyword)
    ]


def _targets(call: ast.Call, ours: Mapping[str, object]) -> Iterator[tuple[object, list[str]]]:
    """What is called with which keywords; of `tune.serve(parameters={...})` also `tune`."""
    keywords = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    match call.func:
        case ast.Name(id=name) if name in ours:
            yield ours[name], keywords
        case ast.Attribute(value=ast.Name(id=name), attr=method) if name in ours:
            yield getattr(ours[name], method), keywords
            for keyword in call.keywords:
                if keyword.arg == "parameters" and isinstance(keyword.value, ast.Dict):
                    keys = (key.value for key in keyword.value.keys if isinstance(key, ast.Constant))
                    yield ours[name], list(map(str, keys))
        case _:
            pass


def _takes(target: object, keyword: str) -> bool:
    signature = inspect.signature(target.fn if isinstance(target, Flow) else target)  # type: ignore[arg-type]
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return keyword in signature.parameters or inspect.Parameter.VAR_KEYWORD in kinds


def _public() -> dict[str, object]:
    return {name: getattr(home, name) for home in _HOMES for name in home.__all__ if name[0] != "_"}


def _imported(tree: ast.AST) -> Iterator[tuple[str, object]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tune_flows":
            for alias in node.names:
                yield alias.asname or alias.name, getattr(importlib.import_module(node.module), alias.name)


def _others(tree: ast.AST) -> Iterator[str]:
    """Names that stand for something else there."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.ImportFrom(module=module, names=names) if (module or "").split(".")[0] != "tune_flows":
                yield from (alias.asname or alias.name for alias in names)
            case ast.Import(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case _:
                pass
