"""Results that pile up while the storage is away: training goes on for so long, then waits."""

import asyncio

import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.events import ResultsReported, TrialPaused
from tune_flows.core.trial import Result
from tune_flows.executors.ray.backlog import Backlog


def reported(count):
    results = tuple(Result(n + 1, {"score": 0.0}, 0.1, 0.1, 0.0) for n in range(count))
    return [ResultsReported("trial-00000", 1, results), TrialPaused("trial-00000", 1)]


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def waiting(backlog, unless=lambda: False):
    return asyncio.create_task(backlog.wait_for_room(unless=unless))


def test_only_results_count_and_those_taken_make_room():
    async def scene():
        backlog = Backlog(5)
        backlog.add(reported(4))
        await asyncio.wait_for(backlog.wait_for_room(unless=lambda: False), 1)
        backlog.add(reported(1))
        trials = [waiting(backlog) for _ in range(3)]
        await settle()
        assert not any(trial.done() for trial in trials)
        backlog.clear()
        await settle()
        assert all(trial.done() for trial in trials)

    asyncio.run(scene())


def test_an_order_reaches_a_trial_that_waits():
    async def scene():
        backlog = Backlog(1)
        backlog.add(reported(1))
        orders = []
        told, other = waiting(backlog, lambda: orders), waiting(backlog)
        await settle()
        orders.append("stop")
        backlog.stir()
        await settle()
        assert (told.done(), other.done()) == (True, False)
        other.cancel()

    asyncio.run(scene())


def test_it_is_said_once_that_training_waits_and_once_that_it_goes_on(caplog):
    async def scene():
        backlog = Backlog(3, notice_after_s=0.0)
        backlog.add(reported(3))
        trials = [waiting(backlog) for _ in range(2)]
        while not caplog.messages:
            await asyncio.sleep(0)
        await settle()
        backlog.clear()
        backlog.clear()
        await asyncio.gather(*trials)

    asyncio.run(scene())
    assert caplog.messages == [
        "Training waits for the storage: 3 results wait to be journalled, of at most 3.",
        "Training goes on: the results that had piled up are being journalled.",
    ]


def test_a_short_wait_is_not_said(caplog):
    async def scene():
        backlog = Backlog(1)
        backlog.add(reported(1))
        trial = waiting(backlog)
        await settle()
        backlog.clear()
        await trial

    asyncio.run(scene())
    assert caplog.messages == []


def test_a_limit_that_is_none_is_refused():
    with pytest.raises(InvalidParameter, match="max_backlog: got 0"):
        Backlog(0)
