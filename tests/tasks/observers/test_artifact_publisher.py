"""How long a run waits for its artifacts, and what it bears, without a server."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.integration.observe import until
from tests.tasks.observers.test_artifact_content import SPACE, Run
from tune_flows.core.events import DriverStopped
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.runner.runner import Step
from tune_flows.store import ObjectStore
from tune_flows.tasks.observers.artifacts import LiveArtifacts, live_artifacts, publisher
from tune_flows.tasks.observers.artifacts.history_loader import EarlierResults


class StuckStore(ObjectStore):
    """Answers once it is `released`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.released = threading.Event()

    def get(self, key: str) -> bytes | None:
        self.released.wait(60)
        return super().get(key)


@pytest.fixture
def store(tmp_path) -> Iterator[StuckStore]:
    store = StuckStore(f"{tmp_path}/e")
    yield store
    store.released.set()


@pytest.fixture
def shown(store, monkeypatch) -> LiveArtifacts:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", str(uuid4()))
    return LiveArtifacts("e", store, Objective("m"), ParamSpace.parse(SPACE))


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The seconds that a run waits for its artifacts at most, and does here."""
    found: list[float] = []
    join = threading.Thread.join

    def note(thread: threading.Thread, timeout: float | None = None) -> None:
        if thread.name == "artifacts" and timeout is not None:
            found.append(timeout)
            assert thread.is_alive()
            timeout = 0.01
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", note)
    return found


@pytest.fixture
def silent_api() -> Iterator[None]:
    """Takes every connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            yield


def carried_on(shown: LiveArtifacts, **standing: str) -> None:
    """Tell of an experiment with results of earlier runs."""
    run = Run()
    run.begin()
    run.trial(0, 0.5)
    for name, value in standing.items():
        setattr(run.state, name, value)
    shown.on_step(run.state, Step((DriverStopped(1100.0, "cancelled"),), ()))


def test_a_look_that_fails_is_told_once_and_the_next_one_comes(shown, monkeypatch, caplog):
    looks: list[int] = []

    def catch_up() -> bool:
        looks.append(1)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(shown, "catch_up", catch_up)
    monkeypatch.setattr(publisher, "_LOOK_S", 0.01)
    with caplog.at_level(logging.WARNING), live_artifacts(shown):
        until(lambda: len(looks) >= 3)
    assert len([line for line in caplog.messages if "can't start new thread" in line]) == 1


def test_only_the_end_of_an_experiment_waits_for_earlier_results(shown, store):
    carried_on(shown, stopped="cancelled")
    began = time.monotonic()
    assert shown.catch_up()
    assert not shown.has_ended
    shown.glance(last=True)
    assert time.monotonic() - began < 5

    carried_on(shown, ended="nothing is left")
    assert shown.catch_up()
    assert shown.has_ended
    releasing = threading.Timer(0.2, store.released.set)
    releasing.start()
    shown.glance(last=True)
    assert store.released.is_set()
    releasing.join()


def test_earlier_results_that_nobody_needs_any_more_are_not_read_on(store):
    SimulatedExperiment(store.url).run()
    earlier = EarlierResults(store, Objective("m"), read=True)
    earlier.give_up()
    store.released.set()
    assert earlier.recorder(wait=True) is None


@pytest.mark.usefixtures("silent_api")
def test_a_run_that_is_stopped_does_not_wait_long(shown, waits):
    with live_artifacts(shown):
        carried_on(shown, stopped="cancelled")
    assert waits == [5.0]


@pytest.mark.usefixtures("silent_api")
def test_a_run_that_breaks_off_waits_even_less(shown, waits):
    with suppress(KeyboardInterrupt), live_artifacts(shown):
        carried_on(shown)
        raise KeyboardInterrupt
    assert waits == [3.0]
