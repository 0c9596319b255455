"""Experiments to look at, written by the driver with simulated workers, and the command line on them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.experiment.simulated_experiment import Odd, SimulatedExperiment
from tests.experiment.test_stopping import run_and_stop
from tune_flows.cli import main
from tune_flows.core.errors import TrainableError


@dataclass(frozen=True)
class Said:
    """What a command has said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Strictly."""

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        return json.loads(self.out, parse_constant=refuse)


Call = Callable[..., Said]


@pytest.fixture
def call(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command in this process, as if its output were no terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments: object) -> Said:
        code = main([str(one) for one in arguments])
        out, err = capfdbinary.readouterr()
        return Said(code, out.decode(), err.decode())

    return call


def boom(trial_id: str, lease: int, iteration: int) -> Exception | None:
    return TrainableError("boom\nTraceback") if (trial_id, iteration) == ("trial-00001", 2) else None


def taken_over(shop: SimulatedExperiment) -> None:
    """A driver takes the experiment over, says who it is, and has recorded nothing yet."""
    experiment = shop.experiment()
    experiment._settings = {"ray_address": None}
    experiment.look()
    experiment.claim()


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One experiment in each state; not to be changed."""
    folder = tmp_path_factory.mktemp("storage")
    with pytest.MonkeyPatch.context() as patch:
        # it runs as long as the tests do
        patch.setattr("tests.experiment.simulated_experiment.EPOCH_S", time.time() + 3600)
        SimulatedExperiment(f"{folder}/running").run_and_die(20, durable=True)
        run_and_stop(SimulatedExperiment(f"{folder}/stopped"), 12)
    SimulatedExperiment(f"{folder}/ended", fault=boom).run()
    SimulatedExperiment(f"{folder}/silent").run_and_die(20, durable=True)
    SimulatedExperiment(f"{folder}/new").run_and_die(2, durable=False)
    SimulatedExperiment(f"{folder}/odd", trainable=Odd, num_samples=2).run()
    SimulatedExperiment(f"{folder}/many", num_samples=30, slots=8, stop={"training_iteration": 2}).run()
    (folder / "notes").mkdir()
    return folder
