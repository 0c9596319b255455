"""Which import paths a parameter may name, and that nothing runs before it was asked."""

import re
import sys
from pathlib import Path

import pytest

from tune_flows.core.allowed import ALLOWED_VARIABLE, trusted_paths
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.imports import import_object
from tune_flows.core.invalid_value import InvalidValue
from tune_flows.core.space import ParamSpace, SampleFrom
from tune_flows.schedulers import FIFOScheduler, parse_scheduler
from tune_flows.trainable import resolve_trainable

SOURCE = """
import pathlib, os
from shutil import rmtree
from {other} import borrowed

pathlib.Path({trace!r}).touch()

class Own:
    def method(self): ...

def train(config): ...
def draw(config): return 1
value = 3
"""


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says the module `front_door_case` was imported; it is fresh in each test."""
    (tmp_path / "front_door_other.py").write_text("def borrowed(config): ...\n")
    path = tmp_path / "imported"
    source = SOURCE.format(trace=str(path), other="front_door_other")
    (tmp_path / "front_door_case.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("front_door_case", "front_door_other"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return path


def allow(patterns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED_VARIABLE, patterns)


@pytest.mark.parametrize(
    ("patterns", "path"),
    [
        ("front_door_case:train", "front_door_case:train"),
        ("front_door_case:train", "front_door_case.train"),
        ("elsewhere:*, front_door_case:* ,", "front_door_case:Own.method"),
        ("front_door_case:*", "front_door_case:value"),
        ("front_*:[st]rain", "front_door_case:train"),
        ("*", "front_door_case:rmtree"),
        ("front_door_case:borrowed", "front_door_case:borrowed"),  # named without a wildcard
        ("front_door_*:*", "front_door_case:borrowed"),  # its home matches too
    ],
)
def test_what_a_pattern_lets_in(trace: Path, monkeypatch: pytest.MonkeyPatch, patterns: str, path: str):
    allow(patterns, monkeypatch)
    import_object(path, "something")
    assert trace.exists()


@pytest.mark.parametrize(
    ("patterns", "path"),
    [
        ("", "front_door_case:train"),
        (" , ", "front_door_case:train"),
        ("front_door_case:Train", "front_door_case:train"),
        ("front_door_case", "front_door_case:train"),
        ("front_door_case.*", "front_door_case:train"),
        ("front_door_case:tr", "front_door_case:train"),
        ("other:*", "front_door_case:train"),
        ("other:*", "front_door_case.train"),
    ],
)
def test_what_is_kept_out_is_not_even_imported(
    trace: Path, monkeypatch: pytest.MonkeyPatch, patterns: str, path: str
):
    allow(patterns, monkeypatch)
    with pytest.raises(InvalidValue, match=r"got .front_door_case:train., expected .* allowed here"):
        import_object(path, "something")
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["os.system", "rmtree", "pathlib.Path", "borrowed", "os.environ.clear", "os.environ"]
)
def test_a_wildcard_does_not_open_what_the_module_imports(
    trace: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    allow("front_door_case:*", monkeypatch)
    with pytest.raises(InvalidValue, match=r"It is .*allows front_door_case:\*\."):
        import_object(f"front_door_case:{name}", "something")


def test_everything_that_names_a_path_asks(trace: Path, monkeypatch: pytest.MonkeyPatch):
    allow("tests.*", monkeypatch)
    drawn = {"a": {"type": "sample_from", "function": "front_door_case:draw"}}
    for parameter, call in {
        "trainable": lambda: resolve_trainable("front_door_case:train"),
        "scheduler.type": lambda: parse_scheduler({"type": "front_door_case:Own"}),
        "param_space['a']": lambda: ParamSpace.parse(drawn),
    }.items():
        with pytest.raises(InvalidParameter, match=rf"^{re.escape(parameter)}: got .*allows tests\.\*\. "):
            call()
    assert not trace.exists()


def test_objects_and_built_in_kinds_need_no_permission(monkeypatch: pytest.MonkeyPatch):
    allow("", monkeypatch)

    def train(config):
        return {}

    assert resolve_trainable(train).target is train
    assert parse_scheduler({"type": "fifo"}) == parse_scheduler(FIFOScheduler()) == FIFOScheduler()
    assert ParamSpace.parse({"a": SampleFrom(function=lambda config: 1)}).functions


def test_the_author_is_trusted_inside_only(trace: Path, monkeypatch: pytest.MonkeyPatch):
    allow("", monkeypatch)
    with trusted_paths():
        import_object("front_door_case:train", "something")
    with pytest.raises(InvalidValue):
        import_object("front_door_case:train", "something")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('pathlib').Path({trace!r}).touch()",
        "front_door_case:train()",
        "front_door_case:__import__('os')",
        "(lambda: open({trace!r}, 'w'))()",
        "{{{{ 1 }}}}:{{{{ open({trace!r}, 'w') }}}}",
    ],
)
def test_strings_are_never_evaluated(tmp_path: Path, text: str):
    trace = tmp_path / "evaluated"
    given = text.format(trace=str(trace))
    for call in (
        lambda: resolve_trainable(given),
        lambda: parse_scheduler({"type": given}),
        lambda: ParamSpace.parse({"a": {"type": "sample_from", "function": given}}),
    ):
        with pytest.raises(InvalidParameter):
            call()
    assert not trace.exists()


def test_a_string_in_the_space_stays_a_string(tmp_path: Path):
    text = "__import__('os').getcwd()"
    assert ParamSpace.parse({"a": text, "b": [text]}).constants == {"a": text, "b": [text]}
