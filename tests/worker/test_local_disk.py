"""A local disk that is full or takes no folder: the machine's fault, told after what came before it."""

import resource
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.trainable.samples import Counter, iterations, make_host
from tune_flows.core.errors import InfrastructureError, TrainableError
from tune_flows.trainable import Checkpoint, get_context, report
from tune_flows.worker import AdvanceRequest, StartTrial, TrialHost

ROOM_BYTES = 1 << 20
"""What a file may hold where the disk is full."""


@pytest.fixture
def full_disk() -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def no_folder(tmp_path: Path) -> Path:
    """Where no folder can be made."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "scratch"


class Large(Counter):
    """Its second checkpoint finds no room."""

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        return {"weights": b"x" * ROOM_BYTES * (self.count - 1)}


def large(config: dict[str, Any]) -> None:
    for i in range(3):
        checkpoint = Checkpoint.from_dict({"weights": b"x" * ROOM_BYTES * i})
        try:
            report({"i": i}, checkpoint=checkpoint)
        except Exception:  # that keeps no trial alive
            continue


def late(config: dict[str, Any]) -> None:
    report({"i": 0})
    report({"i": 1}, checkpoint=Checkpoint.from_dict({}))


def at_home(config: dict[str, Any]) -> None:
    report({"i": 0})
    (get_context().trial_dir / "note").write_text("mine")


class Unpicklable:
    """Pickling it is the user's code, and that misses a file."""

    def __reduce__(self) -> str:
        return Path("no such file").read_text()


class Odd(Counter):
    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any]:
        return {"odd": Unpicklable()}


def odd(config: dict[str, Any]) -> None:
    report({"i": 0}, checkpoint=Checkpoint.from_dict({"odd": Unpicklable()}))


def begun(trainable: object, **options: Any) -> TrialHost:
    host = make_host(trainable, **options)
    host.start(StartTrial("t", 1, {}))
    return host


def fault_after_one_result(host: TrialHost) -> str:
    assert iterations(host.advance(AdvanceRequest())) == [1]
    with pytest.raises(InfrastructureError) as caught:
        host.advance(None)
    assert host.finish(save=True) == ()  # no trial is left there
    return str(caught.value)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("trainable", [Large, large])
def test_no_room_for_a_dict(trainable: object):
    message = fault_after_one_result(begun(trainable, checkpoint_frequency=1))
    assert message.startswith("t: writing the checkpoint of iteration 2 failed: [Errno 27]")


@pytest.mark.parametrize("trainable", [Counter, late, at_home])
def test_no_place_for_a_folder(trainable: object, no_folder: Path):
    message = fault_after_one_result(begun(trainable, checkpoint_frequency=2, scratch=no_folder))
    assert message.startswith("t: making a local folder failed: [Errno 20]")


@pytest.mark.parametrize("trainable", [Counter, late])
def test_no_place_to_restore_in(trainable: object, no_folder: Path):
    saved = begun(Counter).advance(AdvanceRequest(until=1, save_at=1)).checkpoints[0]
    host = make_host(trainable, scratch=no_folder)
    with pytest.raises(InfrastructureError, match="making a local folder failed"):
        host.start(StartTrial("t", 2, {}, iteration=1, checkpoint=saved))


@pytest.mark.parametrize("trainable", [Odd, odd])
def test_what_pickling_raises_stays_the_users(trainable: object):
    host = begun(trainable, checkpoint_frequency=1)
    with pytest.raises(TrainableError, match="FileNotFoundError"):
        host.advance(AdvanceRequest())
