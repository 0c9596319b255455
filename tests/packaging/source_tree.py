"""The files that make up the project, found without git, so that an unpacked archive can be checked too."""

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "pyproject", "source_files"]

ROOT = Path(__file__).parents[2]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def source_files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file below `folder` that .gitignore lets through; links are yielded, not followed."""
    ignored = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())]
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in ignored):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from source_files(path)
        else:
            yield path
