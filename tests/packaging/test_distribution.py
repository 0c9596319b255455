"""What gets installed: the wheel and the sdist are built from a copy of the tree and opened."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.source_tree import ROOT, build, copy_sources, source_files

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Built:
    """The distributions: files by their path inside the archive."""

    wheel_file: Path
    wheel: dict[str, bytes]
    wheel_of_sdist: dict[str, bytes]
    sdist: dict[str, bytes]

    @property
    def metadata(self) -> str:
        return next(
            data for name, data in self.wheel.items() if name.endswith(".dist-info/METADATA")
        ).decode()


def _unzip(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def _untar(archive: Path) -> dict[str, bytes]:
    """Without the folder named after the version that every path starts with."""
    with tarfile.open(archive) as opened:
        members = [(member.name, opened.extractfile(member)) for member in opened.getmembers()]
        return {name.partition("/")[2]: file.read() for name, file in members if file is not None}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    tree, direct, by_sdist = (tmp_path_factory.mktemp(name) for name in ("tree", "direct", "by_sdist"))
    copy_sources(tree)
    build(tree, direct, "--wheel")
    shutil.rmtree(tree / "build")  # what the first build left would hide a hole in the sdist
    shutil.rmtree(tree / "tune_flows.egg-info")
    build(tree, by_sdist)  # the default: an sdist, and a wheel from what the sdist holds
    (wheel,), (wheel_of_sdist,), (sdist,) = (
        direct.glob("*.whl"),
        by_sdist.glob("*.whl"),
        by_sdist.glob("*.tar.gz"),
    )
    return Built(wheel, _unzip(wheel), _unzip(wheel_of_sdist), _untar(sdist))


def _package_files() -> dict[str, bytes]:
    """What the tree holds of the package, by import path: tasks/ appears where its link stands."""
    found = {
        path.relative_to(ROOT).as_posix(): path
        for path in source_files(ROOT / "tune_flows")
        if path.is_file()
    }
    found |= {
        f"tune_flows/{path.relative_to(ROOT).as_posix()}": path for path in source_files(ROOT / "tasks")
    }
    return {name: path.read_bytes() for name, path in found.items()}


def _differing(left: dict[str, bytes], right: dict[str, bytes]) -> list[str]:
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def test_wheel_holds_the_package_and_nothing_else(built: Built):
    held = {name: data for name, data in built.wheel.items() if ".dist-info/" not in name}

    assert _differing(held, _package_files()) == []
    assert "tune_flows/py.typed" in held
    assert "tune_flows/tasks/__init__.py" in held


def test_wheel_carries_the_license(built: Built):
    licenses = [data for name, data in built.wheel.items() if name.endswith(".dist-info/licenses/LICENSE")]

    assert licenses == [(ROOT / "LICENSE").read_bytes()]
    assert "License-Expression: Apache-2.0" in built.metadata


def test_sdist_holds_what_the_wheel_is_built_from(built: Built):
    package = {name: data for name, data in built.sdist.items() if name.startswith("tune_flows/")}

    assert _differing(package, _package_files()) == []
    assert {"LICENSE", "README.md", "CHANGELOG.md", "constraints.txt", "pyproject.toml"} <= built.sdist.keys()
    assert [name for name in built.sdist if name.startswith(("tests/", "tasks/", "deployments/"))] == []


def test_wheel_is_the_same_by_way_of_the_sdist(built: Built):
    assert _differing(built.wheel_of_sdist, built.wheel) == []


def test_installed_tasks_live_beside_a_tasks_folder_of_the_users_own(built: Built, tmp_path: Path):
    (tmp_path / "project" / "tasks").mkdir(parents=True)
    (tmp_path / "project" / "tasks" / "__init__.py").write_text("OWNER = 'the user'\n")
    with zipfile.ZipFile(built.wheel_file) as wheel:
        wheel.extractall(tmp_path / "site")
    code = "import tasks, tune_flows.tasks; print(tasks.OWNER, tune_flows.tasks.__file__, sep='\\n')"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "project",
        env={"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.splitlines() == [
        "the user",
        str(tmp_path / "site" / "tune_flows" / "tasks" / "__init__.py"),
    ]
