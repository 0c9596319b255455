"""The pages of the documentation and what stands on them: code blocks, headings, links."""

import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: The first word after the fence; empty for an indented block.
        note: The other words there, such as `not-run`.
        line: Where its first line of code stands, from 1.
    """

    page: Path
    line: int
    language: str
    note: str
    source: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8")))


def code(page: Path) -> list[Block]:
    """All code blocks of a page, in its order."""
    found: list[Block] = []
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            language, _, note = token.info.strip().partition(" ")
            line = token.map[0] + (2 if token.type == "fence" else 1)
            found.append(Block(page, line, language, note, token.content))
    return found


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a language, in the order of the page; without those that have a note."""
    return [block.source for block in code(page) if block.language == language and not block.note]


def example(page: str) -> ModuleType:
    """The Python of a page as a module, which its name imports."""
    module = ModuleType(f"example_of_{page.removesuffix('.md')}")
    sys.modules[module.__name__] = module
    exec(compile("\n".join(blocks(DOCS / page, "python")), str(DOCS / page), "exec"), module.__dict__)
    return module


def links(page: Path) -> list[str]:
    """Where the links of a page lead."""
    return [
        str(child.attrs["href"])
        for token in tokens(page)
        for child in token.children or ()
        if child.type == "link_open"
    ]


def inline_code(page: Path) -> list[str]:
    """What stands in backticks in the text of a page."""
    return [
        child.content
        for token in tokens(page)
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def beginnings(page: Path) -> list[str]:
    """The code with which items of lists begin."""
    pairs = zip(tokens(page), tokens(page)[2:], strict=False)  # an item, its paragraph, the text of that
    texts = [text for item, text in pairs if item.type == "list_item_open" and text.children]
    return [text.children[0].content for text in texts if text.children[0].type == "code_inline"]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for token, inline in zip(tokens(page), tokens(page)[1:], strict=False):
        if token.type == "heading_open":
            slug = _slug("".join(child.content for child in inline.children or ()))
            count = next(n for n in range(len(found) + 1) if (f"{slug}-{n}" if n else slug) not in found)
            found.add(f"{slug}-{count}" if count else slug)
    return found


def _slug(heading: str) -> str:
    kept = (c for c in heading.lower() if c in " -_" or unicodedata.category(c)[0] in "LN")
    return re.sub(" ", "-", "".join(kept))
