"""The files that make up the project, found without git, so that an unpacked archive can be checked too."""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "build", "copy_sources", "pyproject", "source_files"]

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


def copy_sources(folder: Path) -> Path:
    """The folder, with a copy of the project's files."""
    for path in source_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    return folder


def build(tree: Path, target: Path, *flags: str) -> None:
    """Build distributions of a copy of the project into the folder `target`."""
    # No isolation: setuptools is a test dependency, so nothing has to be downloaded.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *flags, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
