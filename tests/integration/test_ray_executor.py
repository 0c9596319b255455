"""The Ray executor by itself: orders that come at bad moments, code that does not end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray.experimental.internal_kv

from tests.integration.observe import is_alive, until
from tests.integration.trainables import Climber, Hanging, deaf
from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.events import (
    CheckpointSaved,
    Event,
    ResultsReported,
    TrialCompleted,
    TrialPaused,
)
from tune_flows.executors.ray.executor import RayExecutor
from tune_flows.stoppers import StopCriteria
from tune_flows.store import CheckpointStore
from tune_flows.trainable import resolve_trainable

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray_address")]


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Any]:
    """An executor of a trainable, between `start` and `shutdown`."""

    @asynccontextmanager
    async def started(trainable: object, **host: Any) -> AsyncIterator[RayExecutor]:
        target = resolve_trainable(trainable)
        stores = {"stop": StopCriteria(), "checkpoints": CheckpointStore(str(tmp_path / "experiment"))}
        executor = RayExecutor(host={"trainable": target, **stores, **host})
        assert await executor.start() == 2
        try:
            yield executor
        finally:
            await executor.shutdown()

    return started


def launch(config: dict[str, Any], *, until: int | None, number: int = 0) -> LaunchSegment:
    """The first order to a new trial."""
    return LaunchSegment(f"trial-{number:05d}", 1, config, 0, 0.0, until, None, None)


async def events_until(executor: RayExecutor, last: Callable[[Event], bool]) -> list[Event]:
    """What happens up to an event."""
    events: list[Event] = []
    async with asyncio.timeout(60):
        while not any(map(last, events)):
            events += await executor.next_events()
    return events


def waits(event: Event) -> bool:
    return isinstance(event, ResultsReported) and event.waits


def ended(event: Event) -> bool:
    return isinstance(event, TrialCompleted | TrialPaused)


def iterations(events: list[Event]) -> list[int]:
    return [r.iteration for event in events if isinstance(event, ResultsReported) for r in event.results]


STOP = StopTrial("trial-00000", 1, "enough")
PAUSE = PauseTrial("trial-00000", 1, save=True)
CONFIG = {"slope": 1.0, "pause_s": 0.005}


@pytest.mark.parametrize("order", [STOP, PAUSE])
def test_an_order_before_the_trial_has_begun(started: Callable[..., Any], order: StopTrial | PauseTrial):
    async def scene() -> list[Event]:
        async with started(Climber) as executor:
            executor.submit(launch(CONFIG, until=None))
            executor.submit(order)
            return await events_until(executor, ended)

    events = asyncio.run(scene())
    done = iterations(events)
    assert done == list(range(1, len(done) + 1))
    assert len(done) < 1000
    if order is STOP:
        assert events[-1] == TrialCompleted("trial-00000", 1, "enough")
    else:
        assert not done or isinstance(events[-2], CheckpointSaved)
        assert events[-1] == TrialPaused("trial-00000", 1)


@pytest.mark.parametrize("open_s", [0.0, 10.0])  # of the segment that the trial waits in
@pytest.mark.parametrize("order", [STOP, PAUSE])
@pytest.mark.parametrize("late", [True, False])
def test_an_order_as_the_trial_waits(
    started: Callable[..., Any], order: StopTrial | PauseTrial, open_s: float, late: bool
):
    async def scene() -> list[Event]:
        async with started(Climber) as executor:
            executor.open_s = open_s
            executor.submit(launch(CONFIG, until=3))
            events = await events_until(executor, waits)
            executor.submit(ContinueTrial("trial-00000", 1, 5, None))
            if late:
                events += await events_until(executor, waits)
            executor.submit(order)
            return events + await events_until(executor, ended)

    events = asyncio.run(scene())
    done = iterations(events)
    assert done == list(range(1, len(done) + 1))
    assert len(done) == 5 if late else 3 <= len(done) <= 5
    assert isinstance(events[-1], TrialCompleted if order is STOP else TrialPaused)


def test_a_process_whose_code_does_not_end_is_replaced(started: Callable[..., Any], tmp_path: Path):
    async def scene() -> list[Event]:
        async with started(deaf, join_timeout_s=0.2) as executor:
            config = {"gate": str(tmp_path / "gate")}
            events: list[Event] = []
            for number in range(2):
                executor.submit(launch(config, until=1, number=number))
                events += await events_until(executor, waits)
                executor.submit(StopTrial(f"trial-{number:05d}", 1, "enough"))
                events += await events_until(executor, ended)
            return events

    pids = [
        result.metrics["pid"]
        for event in asyncio.run(scene())
        if isinstance(event, ResultsReported)
        for result in event.results
    ]
    assert len(set(pids)) == 2
    until(lambda: not any(map(is_alive, pids)))


def test_all_workers_are_of_one_class_for_ray(started: Callable[..., Any]):
    def exported() -> set[bytes]:
        return set(ray.experimental.internal_kv._internal_kv_list(b"ActorClass", namespace="fun"))

    async def one_worker() -> None:
        async with started(Climber) as executor:
            executor.submit(launch(CONFIG, until=1))
            await events_until(executor, waits)

    asyncio.run(one_worker())
    before = exported()
    asyncio.run(one_worker())
    assert before
    assert exported() == before


def test_shutdown_ends_a_trainable_that_hangs(started: Callable[..., Any], tmp_path: Path):
    def pids() -> list[int]:
        return [int(file.name) for file in tmp_path.glob("[0-9]*")]

    async def scene() -> None:
        async with started(Hanging) as executor:
            executor.submit(launch({"folder": str(tmp_path), "gate": "never"}, until=None))
            await asyncio.to_thread(until, pids)

    asyncio.run(scene())
    assert len(pids()) == 1
    until(lambda: not is_alive(pids()[0]))
