"""Runs the Python of a page as a reader would: block after block, in one session.

- A block whose first line is a comment with the name of a file is that file, in the session's folder, and is
  run as a script.
- A block marked `not-run` (of a server that serves, of a cluster that we have not) is compiled only.
"""

import ast
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs_example import Block, code

NOT_RUN = "not-run"


def python(page: Path) -> list[Block]:
    return [block for block in code(page) if block.language == "python"]


def calls_tune(page: Path) -> bool:
    """Whether what runs there imports `tune`, and so may need Ray."""
    imports = [
        node
        for block in python(page)
        if block.note != NOT_RUN
        for node in ast.walk(ast.parse(block.source))
        if isinstance(node, ast.ImportFrom) and node.module == "tune_flows"
    ]
    return any(alias.name == "tune" for node in imports for alias in node.names)


def file_name(block: Block) -> str | None:
    """The name of the file that a block is."""
    found = re.match(r"# (\w+\.\w+)\n", block.source)
    return found[1] if found else None


def run(
    page: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_module: Callable[[ModuleType], object] = lambda module: None,
) -> dict[str, object]:
    """Run the blocks in `folder`; what they have made.

    Args:
        on_module: Called with each module that the page has made, before anything of it runs.
    """
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    session: dict[str, object] = {"__name__": "__main__"}
    modules: list[str] = []
    try:
        for block in python(page):
            if block.note == NOT_RUN:
                continue
            name, names = file_name(block), session
            if name is not None:
                (folder / name).write_text(block.source, "utf-8")
                modules.append(Path(name).stem)
                on_module(importlib.import_module(modules[-1]))
                names = {"__name__": "__main__"}
            exec(compiled(block), names)
    finally:
        for module in modules:
            sys.modules.pop(module, None)
    return session


def compiled(block: Block):
    """The block, with the lines of the page in its tracebacks."""
    return compile("\n" * (block.line - 1) + block.source, str(block.page), "exec")
