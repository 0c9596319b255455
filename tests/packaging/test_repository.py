"""What may stand in the project's files: complete and exact pins, nothing of the machine they came from."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.source_tree import ROOT, pyproject, source_files

# In halves, so that this file may stand in the repository itself.
FOREIGN = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry.npm" + "js.org",
    "deb.debian" + ".org",
    "/wo" + "rk/",
    "/ro" + "ot/",
    "/tmp/" + "lab",
    "/fa" + "rm/",
]
PIN = re.compile(r'(?P<name>[\w.-]+)==(?P<version>[\w.!+]+)( ; python_version (<|==|>=) "3\.\d+")?')


def _pins() -> dict[str, str]:
    """Version by canonical name, of the lines that apply to this Python."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    pins = [Requirement(line) for line in lines]
    applying = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in applying}
    assert len(versions) == len(applying), "a package is pinned twice"
    return versions


def _declared() -> list[Requirement]:
    """The core dependencies and those of every extra."""
    project = pyproject()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in requirements if requirement.name != "tune_flows"]


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}
    )


def _needed() -> set[str]:
    """Names of all that is declared and of what it needs in turn, as far as it is installed here."""
    waiting, seen = _declared(), set[tuple[str, frozenset[str]]]()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            lines = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:  # of an extra that is not installed
            continue
        waiting += [need for need in map(Requirement, lines) if _applies(need, {"", *requirement.extras})]
    return {name for name, _ in seen}


@pytest.mark.parametrize("needle", FOREIGN)
def test_no_file_names_this_machine_or_a_package_registry(needle: str):
    named = [path for path in source_files() if path.is_file() and needle.encode() in path.read_bytes()]

    assert named == []


def test_constraints_meet_what_pyproject_declares():
    pins = _pins()

    unmet = [
        str(requirement)
        for requirement in _declared()
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]

    assert unmet == []


def test_constraints_pin_everything_that_is_needed():
    assert sorted(_needed() - _pins().keys()) == []


def test_tasks_is_a_link_into_the_package():
    link = ROOT / "tune_flows" / "tasks"

    assert link.is_symlink()
    assert link.readlink().as_posix() == "../tasks"
