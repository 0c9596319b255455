"""What stands in README.md and docs/ is so: code runs or could, links lead somewhere, messages exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs import calls, commands, data, session
from tests.docs_example import DOCS, PAGES, README, ROOT, Block, anchors, beginnings, code, inline_code, links
from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.core.space.kinds import KINDS

SHELLS = {"bash", "console", "sh"}
SHOWN = {"mermaid", "text"}
"""Languages of blocks that only show something."""
BLOCKS = [block for page in PAGES for block in code(page)]
WITHOUT_FENCES = {"journal-format.md"}
"""Pages of an older form, whose blocks are indented and have no language."""


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_every_block_says_what_it_is():
    known = {"python", *data.LANGUAGES, *SHELLS, *SHOWN}
    strange = [b for b in BLOCKS if b.language not in known and b.page.name not in WITHOUT_FENCES]
    assert not strange, f"blocks that no test would look at: {', '.join(map(str, strange))}"


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_could_run(block: Block):
    session.compiled(block)
    assert block.note in ("", session.NOT_RUN)
    assert not calls.unknown_parameters(block)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if session.python(page) and not session.calls_tune(page)],
    ids=lambda page: page.name,
)
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    # one that the pages look at
    SimulatedExperiment(f"{tmp_path}/.tune_flows/churn-nightly").run_and_die(30, durable=True)

    session.run(page, tmp_path, monkeypatch)


@pytest.mark.parametrize("block", of(*SHELLS), ids=str)
def test_commands_exist(block: Block):
    found = list(commands.commands(block))
    assert found
    for command in found:
        commands.check(command, block)


@pytest.mark.parametrize("block", of(*data.LANGUAGES), ids=str)
def test_data_is_right(block: Block):
    data.check(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    broken: list[str] = []
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_are_read(page: Path):
    for name in set(re.findall(r"\b(?:PREFECT|TUNE_FLOWS)_[A-Z_]+\b", page.read_text("utf-8"))):
        commands.check_variable(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path):
    named = [
        text
        for text in inline_code(page)
        if re.fullmatch(r"(deployments|docs|tasks|tests|tune_flows)/[\w./-]*", text)
    ]
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_page_is_linked_from_the_readme():
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= set(links(README))


def test_every_domain_is_documented():
    text = (DOCS / "search.md").read_text("utf-8")
    assert not [kind for kind in KINDS if f"`{kind}(" not in text]


# -- messages ------------------------------------------------------------------------------------

MESSAGES = beginnings(DOCS / "troubleshooting.md")
GAP = "…"
"""Stands for what differs from case to case."""


@cache
def strings() -> str:
    """All string literals of the library; what is formatted into them is a line break."""
    nodes = [
        node
        for folder in ("tasks", "tune_flows")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    ]
    literals = (node.value for node in nodes if isinstance(node, ast.Constant))
    return "\n".join(re.sub(r"%\w", "\n", text) for text in literals if isinstance(text, str))


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_of_the_code(message: str):
    missing = [part for part in message.split(GAP) if len(part.strip()) > 2 and part.strip() not in strings()]
    assert not missing


def test_every_error_is_explained():
    from tune_flows.core import errors

    explained = set(inline_code(DOCS / "troubleshooting.md"))
    assert set(errors.__all__) <= explained
