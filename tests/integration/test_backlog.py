"""Real workers while nobody takes their results: they train on for a while, then stand still."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.counted import Counted, steps_taken
from tests.integration.observe import is_alive
from tune_flows.core.commands import LaunchSegment, StopTrial
from tune_flows.core.events import TrialCompleted
from tune_flows.executors.ray.executor import RayExecutor
from tune_flows.stoppers import StopCriteria
from tune_flows.store import CheckpointStore
from tune_flows.trainable import resolve_trainable

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray_address")]

LIMIT = 20


async def becomes_true(ask: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not ask():
            await asyncio.sleep(0.02)


def test_training_waits_for_room(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def count() -> int:
        return sum(map(len, steps_taken(tmp_path / "steps").values()))

    def said(words: str) -> int:
        return sum(words in message for message in caplog.messages)

    async def scene() -> None:
        host = {
            "trainable": resolve_trainable(Counted),
            "stop": StopCriteria(),
            "checkpoints": CheckpointStore(str(tmp_path / "experiment")),
        }
        executor = RayExecutor(host=host, batch_s=0.05, max_backlog=LIMIT)
        await executor.start()
        config = {"slope": 1.0, "folder": str(tmp_path / "steps"), "pause_s": 0.002}
        try:
            for number in range(2):
                launch = LaunchSegment(f"trial-{number:05d}", 1, config, 0, 0.0, None, None, None)
                executor.submit(launch)
            await becomes_true(lambda: said("Training waits for the storage") == 1)
            stands_at = count()
            assert stands_at >= LIMIT

            await executor.next_events()
            assert said("Training goes on") == 1
            await becomes_true(lambda: count() > stands_at)
            await becomes_true(lambda: said("Training waits for the storage") == 2)

            executor.submit(
                StopTrial("trial-00000", 1, "enough")
            )  # gets through to a trial that stands still
            await becomes_true(lambda: list(executor.leases) == ["trial-00001"])
            events = await executor.next_events()
            of_it = [event for event in events if getattr(event, "trial_id", "") == "trial-00000"]
            assert of_it[-1] == TrialCompleted("trial-00000", 1, "enough")
            await becomes_true(lambda: said("Training waits for the storage") == 3)
        finally:
            await executor.shutdown()

    (tmp_path / "steps").mkdir()
    asyncio.run(scene())
    pids = {step.pid for steps in steps_taken(tmp_path / "steps").values() for step in steps}
    assert len(pids) == 2
    asyncio.run(becomes_true(lambda: not any(map(is_alive, pids))))
