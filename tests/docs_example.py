"""The code blocks of the documentation; the Python block of a page as a module, imported by its name."""

import re
import sys
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a language, in the order of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def example(page: str) -> ModuleType:
    (source,) = blocks(DOCS / page, "python")
    module = ModuleType(f"example_of_{page.removesuffix('.md')}")
    sys.modules[module.__name__] = module
    exec(compile(source, str(DOCS / page), "exec"), module.__dict__)
    return module
