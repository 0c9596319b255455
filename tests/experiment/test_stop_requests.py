"""A driver that is asked, through the storage, to end its session."""

import asyncio
from dataclasses import replace

import pytest

from tests.experiment.history_digest import story_of
from tests.experiment.memory_store import MemoryFolder, MemoryStore, checkpoints_in
from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.core.errors import ExperimentFenced, StorageError
from tune_flows.core.events import DriverStopped
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.experiment import stop_requests
from tune_flows.store import ObjectStore
from tune_flows.store.control_files import (
    SESSION_KEY,
    Session,
    read_session,
    read_stop_request,
    remove_stop_request,
    request_stop,
    write_session,
)


class Unhurried(SimulatedExecutor):
    """Gives the loop the time to look, and plenty of it once its driver was asked to stop."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        Unhurried.pace_s = 0.002

    async def next_events(self):
        await asyncio.sleep(Unhurried.pace_s)
        return await super().next_events()


class AskAfter:
    """Somebody asks the driver of an epoch to stop, after some loop iterations."""

    def __init__(self, store, epoch, steps=5):
        self.store, self.epoch, self.steps = store, epoch, steps

    def on_step(self, state, step):
        self.steps -= 1
        if self.steps == 0:
            request_stop(self.store, self.epoch, who="ann@host")
            Unhurried.pace_s = 0.25


@pytest.fixture
def prompt(monkeypatch):
    monkeypatch.setattr(stop_requests, "LOOK_S", 0.001)


def shop_in(folder, **options):
    checkpoints = checkpoints_in(folder)
    return SimulatedExperiment(
        folder=folder, checkpoints=checkpoints, executor=Unhurried, num_samples=4, **options
    )


def drive(shop):
    """The driver that ran it, and where it was left."""
    experiment = shop.experiment()
    experiment.look()
    driver = shop.driver(experiment)
    return driver, asyncio.run(driver.run())


def test_it_ends_in_order_and_is_carried_on_as_if_nothing_had_been(prompt):
    whole = shop_in(MemoryFolder())
    whole.run()
    folder = MemoryFolder()
    shop, store = shop_in(folder), MemoryStore(folder)
    driver, state = drive(replace(shop, observers=[AskAfter(store, 1)]))
    assert driver.was_requested
    assert state.ended is None
    assert state.stopped == "ann@host asked for it"
    assert shop.records(DriverStopped) == [DriverStopped(state.now, "ann@host asked for it")]
    assert store.list("stop") == []  # that is its answer
    driver, state = drive(shop)
    assert not driver.was_requested
    assert state.ended == "all trials done"
    assert story_of(whole.folder).difference(story_of(folder)) is None


def test_a_request_to_another_driver_stops_nobody(prompt):
    folder = MemoryFolder()
    shop, store = shop_in(folder), MemoryStore(folder)
    drive(replace(shop, observers=[AskAfter(store, 1)]))
    for epoch in (1, 3):
        request_stop(store, epoch, who="late")
    assert drive(shop)[1].ended == "all trials done"
    assert len(store.list("stop")) == 2


def test_nobody_is_asked_while_a_run_is_shorter_than_a_look(monkeypatch):
    monkeypatch.setattr(stop_requests, "LOOK_S", 1000.0)
    read: list[str] = []
    get = ObjectStore.get
    monkeypatch.setattr(ObjectStore, "get", lambda self, key: read.append(key) or get(self, key))
    drive(shop_in(MemoryFolder()))
    assert not [key for key in read if key.startswith("stop/")]


def test_looking_costs_one_read_each_time(prompt, monkeypatch):
    monkeypatch.setattr(stop_requests, "LOOK_S", 0.02)
    read: list[str] = []
    get = ObjectStore.get
    monkeypatch.setattr(ObjectStore, "get", lambda self, key: read.append(key) or get(self, key))
    drive(shop_in(MemoryFolder()))
    looks = [key for key in read if key.startswith("stop/")]
    assert looks
    assert set(looks) == {"stop/000000000001.json"}


class Deaf(MemoryStore):
    """Does not answer to whoever looks for a request."""

    def get(self, key):
        if key.startswith("stop/"):
            raise StorageError("away")
        return super().get(key)


def test_a_storage_that_does_not_answer_is_asked_again(prompt, monkeypatch):
    monkeypatch.setattr(Deaf, "with_budget", lambda self, budget_s: self)
    folder = MemoryFolder()
    shop = shop_in(folder)
    experiment = shop.experiment(Deaf(folder))
    experiment.look()
    assert asyncio.run(shop.driver(experiment).run()).ended == "all trials done"


class Sticky(MemoryStore):
    """Lets nobody delete a request."""

    def delete(self, key):
        if key.startswith("stop/"):
            raise StorageError("denied")
        super().delete(key)


def test_a_request_that_stays_does_no_harm(prompt, caplog):
    folder = MemoryFolder()
    shop = shop_in(folder)
    experiment = shop.experiment(Sticky(folder))
    experiment.look()
    asked = replace(shop, observers=[AskAfter(MemoryStore(folder), 1)])
    assert asyncio.run(asked.driver(experiment).run()).stopped
    assert "the request to stop stays, which does no harm: denied" in caplog.text
    assert drive(shop)[1].ended == "all trials done"


def test_a_request_is_made_once():
    store = MemoryStore(MemoryFolder())
    assert read_stop_request(store, 2) is None
    assert request_stop(store, 2, who="ann", at=1.0)
    assert not request_stop(store, 2, who="bob", at=2.0)
    assert (read_stop_request(store, 2), read_stop_request(store, 1)) == ("ann", None)
    remove_stop_request(store, 2)
    remove_stop_request(store, 2)
    assert read_stop_request(store, 2) is None


def test_how_a_session_is_run_is_noted_and_goes_with_the_experiment():
    folder = MemoryFolder()
    shop, store = shop_in(folder), MemoryStore(folder)
    experiment = shop.experiment()
    experiment._settings = {"ray_address": "auto"}
    experiment.look()
    assert read_session(store) is None
    experiment.claim()
    noted = read_session(store)
    assert noted is not None
    assert (noted.epoch, noted.settings) == (1, {"ray_address": "auto"})
    write_session(store, Session(2, "host/1", {}), at=1.0)
    assert read_session(store) == Session(2, "host/1", {})
    request_stop(store, 1, who="ann")
    experiment.discard()
    assert store.list() == []
    assert read_session(store) is None


def test_a_note_that_is_damaged_is_named():
    store = MemoryStore(MemoryFolder())
    store.put(SESSION_KEY, b"{}\n")
    with pytest.raises(StorageError, match=SESSION_KEY):
        read_session(store)


def test_a_request_to_a_driver_of_another_history_stops_nobody():
    folder = MemoryFolder()
    store = MemoryStore(folder)
    request_stop(store, 1, who="ann")  # it came when the experiment had just been discarded
    experiment = shop_in(folder).experiment()
    experiment.look()
    experiment.claim()
    assert read_stop_request(store, 1) is None


def test_a_driver_that_was_fenced_meanwhile_notes_nothing():
    folder = MemoryFolder()
    store = MemoryStore(folder)
    slow, quick = (shop_in(folder).experiment() for _ in range(2))
    slow._settings = {"ray_address": "slow:6379"}
    slow.look()

    def overtaken(state):
        quick.look()
        quick.claim()
        return growth(state)

    growth, slow._require_growth = slow._require_growth, overtaken
    with pytest.raises(ExperimentFenced):
        slow.claim()
    assert read_session(store) is None
