"""The display of progress: on a terminal, beside another one."""

import io
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.core.objective import Objective
from tune_flows.tasks.observers.progress import Progress, live_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, msg: str, *args: Any) -> None:
        self.lines.append(msg % args)


class Consoled(logging.Handler):
    """As Prefect's, which writes to a console of rich."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(file=io.StringIO())


@pytest.fixture
def handler() -> Any:
    handler, logger = Consoled(), logging.getLogger("prefect")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_terminal_has_one_live_display(monkeypatch: pytest.MonkeyPatch, handler: Consoled):
    monkeypatch.setattr(sys, "stderr", Terminal())
    before, log = handler.console, Log()
    first, second, third = (
        live_progress(Progress(name, Objective("score")), log) for name in ("first", "second", "third")
    )
    first.__enter__()
    above = handler.console
    assert above is not before
    second.__enter__()
    assert handler.console is above
    first.__exit__(None, None, None)
    assert handler.console is before
    second.__exit__(None, None, None)
    assert handler.console is before
    with third:
        assert handler.console is not before
    assert [line.partition(":")[0] for line in log.lines[::2]] == ["first", "second", "third"]


def test_it_shows_the_state_as_it_is_when_somebody_looks(tmp_path: Path):
    progress = Progress("e", Objective("score"))
    assert progress.status().startswith("e: starting, ")
    assert progress.best_line() == "best so far: none yet"
    SimulatedExperiment(
        f"{tmp_path}/e", num_samples=3, observers=[progress], stop={"training_iteration": 4}
    ).run()
    assert progress.status().startswith("e: 3/3 trials done (3 terminated), 12 iterations, ")
    assert progress.best_line().startswith("best so far: score=")
