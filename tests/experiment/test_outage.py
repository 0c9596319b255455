"""A run that is cancelled while the storage does not answer ends promptly."""

import asyncio
import errno
import threading
import time

import pytest

from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.store import ObjectStore

PROMPT_S = 20.0  # on a busy machine; the retry budget is 60


class Away(ObjectStore):
    """Does not answer from the third entry of the log on, until it is back."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.tried = threading.Semaphore(0)
        self.is_back = threading.Event()
        self.given_up = False

    def create(self, key: str, data: bytes) -> bool:
        if key < "log/000000000003":
            return super().create(key, data)

        def attempt() -> bool:
            self.tried.release()
            if not self.is_back.is_set():
                raise OSError(errno.ETIMEDOUT, "away")
            return self._folder.create(key, data)

        return self._call(attempt, "create", key)

    def abandon_after(self, after_s: float = 0.0) -> None:
        self.given_up = True
        super().abandon_after(after_s)


def cancelled_in_an_outage(shop: SimulatedExperiment, store: Away, *, is_back: bool) -> float:
    """Seconds from the cancellation to the end of the run."""

    async def scene() -> float:
        experiment = shop.experiment(store)
        experiment.look()
        run = asyncio.create_task(shop.driver(experiment).run())
        for _ in range(3):
            assert await asyncio.to_thread(store.tried.acquire, timeout=PROMPT_S)
        if is_back:
            store.is_back.set()
        since = time.monotonic()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return time.monotonic() - since

    return asyncio.run(scene())


def test_the_storage_stays_away(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    store = Away(shop.url)
    assert cancelled_in_an_outage(shop, store, is_back=False) < PROMPT_S
    assert store.given_up
    assert shop.entries() == 2
    assert shop.run().ended == "all trials done"


def test_the_commit_under_way_has_a_last_chance(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    store = Away(shop.url)
    assert cancelled_in_an_outage(shop, store, is_back=True) < PROMPT_S
    assert shop.entries() == 3
    assert shop.run().ended == "all trials done"
