"""Whether the commands of a shell block exist, with their options, without running them."""

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.docs.session import file_name, python
from tests.docs_example import ROOT, Block

_STOPS = {"|", "||", "&&", ";", "&"}
_ELSEWHERE = {".", "aws", "cd", "docker", "head", "jq", "kubectl", "tail"}
"""Programs that are not ours to check: only that the line is one that a shell can read."""
_A_UUID = "00000000-0000-0000-0000-000000000000"


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block, as words; of a console session those behind a `$`."""
    text = block.source.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        yield from _split(line.replace("$FLOW_RUN_ID", _A_UUID))


def check(command: list[str], block: Block) -> None:
    """Fail if the command is none."""
    while command and (found := re.fullmatch(r"(\w+)=.*", command[0])):
        check_variable(found[1])
        command = command[1:]
    if not command:
        return
    program, arguments = Path(command[0]).name or ".", command[1:]
    if program in _ELSEWHERE:
        return
    assert program in _CHECKS, f"{block}: teach {__name__} what {program!r} is"
    _CHECKS[program](arguments, block)


def _split(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word in _STOPS:
            yield words
            words = []
        else:
            words.append(word)
    if words:
        yield words


def _make(arguments: list[str], block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for argument in arguments:
        name, is_variable, _ = argument.partition("=")
        assert re.search(rf"^{name} ?\?=" if is_variable else rf"^{name}:", makefile, re.MULTILINE), argument


def _prefect(arguments: list[str], block: Block) -> None:
    from prefect.cli._app import _app

    _parse(_app, arguments)
    if arguments[:2] == ["config", "set"]:
        for setting in arguments[2:]:
            check_variable(setting.partition("=")[0])


def _tune_flows(arguments: list[str], block: Block) -> None:
    from tune_flows.cli.app import _app

    _parse(_app(), [argument for argument in arguments if argument != "--debug"])


def _parse(app: Any, arguments: list[str]) -> None:
    app.parse_args(arguments, exit_on_error=False, print_error=False)


def _ray(arguments: list[str], block: Block) -> None:
    import click
    from ray.scripts.scripts import cli

    command: Any = cli
    while isinstance(command, click.Group):
        assert arguments, f"{block}: ray {command.name} needs a command"
        command = command.commands[arguments[0]]
        arguments = arguments[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word.partition("=")[0] for word in arguments[: _end(arguments)] if word.startswith("--")}
    assert given <= known, f"{block}: {given - known}"


def _end(arguments: list[str]) -> int:
    """Where a command that is passed on begins."""
    return arguments.index("--") if "--" in arguments else len(arguments)


def _pip(arguments: list[str], block: Block) -> None:
    assert arguments[0] == "install", block
    for argument in arguments[1:]:
        for extra in re.findall(r"\[([\w,]+)\]", argument):
            assert set(extra.split(",")) <= _project()["optional-dependencies"].keys(), f"{block}: {argument}"
        if argument.endswith(".txt"):
            assert (ROOT / argument).is_file(), f"{block}: {argument}"


def _python(arguments: list[str], block: Block) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None, f"{block}: {arguments[1]}"
        return
    names = [file_name(one) for one in python(block.page)]
    assert arguments[0] in names or (ROOT / arguments[0]).is_file(), f"{block}: {arguments[0]}"


def _export(arguments: list[str], block: Block) -> None:
    for argument in arguments:
        check_variable(argument.partition("=")[0])


def check_variable(name: str) -> None:
    """Fail if neither Prefect nor this library reads the variable; others are not ours to check."""
    if name.startswith("PREFECT_"):
        import prefect.settings

        assert hasattr(prefect.settings, name), name
    elif name.startswith("TUNE_FLOWS_"):
        assert any(name in text for text in _sources()), name


@cache
def _sources() -> tuple[str, ...]:
    return tuple(path.read_text("utf-8") for path in sorted(Path(ROOT, "tune_flows").rglob("*.py")))


@cache
def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


_CHECKS: dict[str, Callable[[list[str], Block], None]] = {
    "export": _export,
    "make": _make,
    "pip": _pip,
    "prefect": _prefect,
    "python": _python,
    "ray": _ray,
    "tune-flows": _tune_flows,
}
