"""`tune-flows stop`: what it tells of a driver that hears, that does not, and that is not there."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call, taken_over
from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.experiment.test_stopping import run_and_stop
from tune_flows import open_experiment
from tune_flows.cli import stop as command
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.experiment import stop_requests
from tune_flows.store import ObjectStore, control_files
from tune_flows.store.control_files import SESSION_KEY


class Calm(SimulatedExecutor):
    """Trains in real time, more or less."""

    async def next_events(self):
        await asyncio.sleep(0.01)
        return await super().next_events()


class Leisurely(Calm):
    """Its trials save when they may."""

    may_save = threading.Event()

    async def stop(self, grace_s):
        await asyncio.to_thread(self.may_save.wait)
        return await super().stop(grace_s)


@contextmanager
def at_work(shop: SimulatedExperiment, **options: Any) -> Iterator[threading.Thread]:
    """A driver on a thread of its own."""
    begun = threading.Event()

    class Tell:
        def on_step(self, state, step):
            begun.set()

    shop.observers = [Tell()]
    experiment = shop.experiment()
    experiment.look()
    driver = shop.driver(experiment, **options)
    thread = threading.Thread(target=lambda: asyncio.run(driver.run()))
    thread.start()
    assert begun.wait(20)
    try:
        yield thread
    finally:
        thread.join(timeout=60)
    assert not thread.is_alive()


@pytest.fixture
def endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedExperiment:
    monkeypatch.setattr(stop_requests, "LOOK_S", 0.05)
    monkeypatch.setattr(command, "_LOOK_S", 0.05)
    return SimulatedExperiment(f"{tmp_path}/e", num_samples=None, executor=Calm)


def test_a_driver_that_hears(call: Call, endless: SimulatedExperiment):
    with at_work(endless) as thread:
        said = call("stop", endless.url)
        thread.join(timeout=20)
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("Asked its driver to end; waiting for it.\n")
    assert f"asked for it). `tune-flows resume {endless.url}` carries it on.\n" in said.err
    assert open_experiment(endless.url).stopped
    assert ObjectStore(endless.url).list("stop") == []
    again = call("stop", endless.url)
    assert again.code == 0
    assert "no driver is at work; the newest session ended" in again.err


def test_a_driver_that_takes_its_time(call: Call, endless: SimulatedExperiment):
    endless.executor = Leisurely
    with at_work(endless):
        said = call("stop", endless.url, "--timeout-s", "5")
        Leisurely.may_save.set()
        assert said.code == 3
        assert "It has heard: running trials end their step and save.\n" in said.err
        assert "it has not ended within 5 s" in said.err
    assert open_experiment(endless.url).stopped


def test_without_waiting(call: Call, endless: SimulatedExperiment):
    with at_work(endless):
        said = call("stop", endless.url, "--no-wait")
    assert (said.code, said.err) == (0, "Asked its driver to end. It looks every few seconds.\n")
    assert open_experiment(endless.url).stopped


def test_a_driver_that_is_dead(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "_LOOK_S", 0.05)
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    call("stop", shop.url, "--no-wait")
    said = call("stop", shop.url, "--timeout-s", "0.2")
    assert said.code == 3
    assert "Somebody has asked for it before." in said.err
    assert re.search(r"does not answer for \d s; the newest record was made", said.err)
    assert "The request is withdrawn." in said.err
    assert ObjectStore(shop.url).list("stop") == []
    assert shop.run().ended == "all trials done"


def test_an_experiment_that_ends_by_itself_meanwhile(
    call: Call, endless: SimulatedExperiment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stop_requests, "LOOK_S", 1000.0)
    endless.num_samples = 3

    class Asked(Calm):
        async def next_events(self):
            while not ObjectStore(endless.url).list("stop"):
                await asyncio.sleep(0.01)
            return await super().next_events()

    endless.executor = Asked
    with at_work(endless):
        said = call("stop", endless.url)
    assert said.code == 0
    assert "The experiment has ended: all trials done." in said.err
    assert ObjectStore(endless.url).list("stop") == []


def test_another_driver_takes_over_meanwhile(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    monkeypatch.setattr(command, "_LOOK_S", 0.0)

    def take_over(*arguments: object) -> None:
        monkeypatch.undo()
        shop.run_and_die(4, durable=True)

    monkeypatch.setattr("tune_flows.store.control_files.read_stop_request", take_over)
    said = call("stop", shop.url)
    assert said.code == 3
    assert "another driver has taken the experiment over meanwhile" in said.err


def test_a_driver_that_has_recorded_nothing_yet(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "_LOOK_S", 0.05)
    stopped, ended, new = (SimulatedExperiment(f"{tmp_path}/{name}") for name in ("stopped", "ended", "new"))
    run_and_stop(stopped, 12)
    ended.run()
    for shop, epoch in ((stopped, 2), (ended, 2), (new, 1)):
        taken_over(shop)
        said = call("stop", shop.url, "--no-wait")
        assert said.code == 0
        assert said.err.startswith("Asked its driver (process ")
        assert ObjectStore(shop.url).list("stop") == [f"stop/{epoch:012d}.json"]
        said = call("stop", shop.url, "--timeout-s", "0.2")
        assert said.code == 3
        assert "does not answer for" in said.err
        assert ("there is no record yet" in said.err) == (shop is new)
        assert ObjectStore(shop.url).list("stop") == []


def test_a_note_that_is_damaged_hinders_nobody(call: Call, endless: SimulatedExperiment):
    with at_work(endless) as thread:
        ObjectStore(endless.url).put(SESSION_KEY, b"")
        said = call("stop", endless.url)
        thread.join(timeout=20)
    assert said.code == 0
    assert said.err.startswith("Asked its driver to end; waiting for it.\n")
    assert open_experiment(endless.url).stopped


@pytest.mark.parametrize("anew", [False, True])
def test_an_experiment_that_is_removed_meanwhile(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: bool
):
    monkeypatch.setattr(command, "_LOOK_S", 0.0)
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    read = control_files.read_stop_request

    def remove(store: ObjectStore, epoch: int) -> str | None:
        monkeypatch.setattr(control_files, "read_stop_request", read)
        asked = read(store, epoch)
        for key in store.list():
            if not key.startswith("stop/"):
                store.delete(key)
        if anew:
            shop.run_and_die(4, durable=True)
            control_files.request_stop(store, epoch, who="whoever came too late")
        return asked

    monkeypatch.setattr(control_files, "read_stop_request", remove)
    said = call("stop", shop.url)
    assert said.code == 1
    assert "removed meanwhile. The request is withdrawn." in said.err
    assert ObjectStore(shop.url).list("stop") == []


@pytest.mark.parametrize("timeout_s", ["nan", "inf", "-1", "0"])
def test_a_time_that_cannot_be_is_refused_before_anything_is_asked(
    call: Call, tmp_path: Path, timeout_s: str
):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    said = call("stop", shop.url, f"--timeout-s={timeout_s}", "--no-wait")
    assert said.code == 2
    assert "--timeout-s: got" in said.err
    assert ObjectStore(shop.url).list("stop") == []


@pytest.mark.parametrize(("name", "says"), [("ended", "has ended"), ("new", "no driver has begun")])
def test_where_there_is_nothing_to_stop(call: Call, storage: Path, name: str, says: str):
    said = call("stop", storage / name)
    assert said.code == 0
    assert says in said.err
    assert not (storage / name / "stop").exists()
