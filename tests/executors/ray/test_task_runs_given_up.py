"""A task run that is not retried although its trial is: that goes on without it. Model workers, no Ray."""

import asyncio
from typing import Any

import pytest

from tune_flows.core.commands import LaunchSegment
from tune_flows.core.events import Event, FaultKind, TrialCompleted, TrialFaulted
from tune_flows.executors.ray.executor import RayExecutor
from tune_flows.executors.ray.segment import Segment
from tune_flows.executors.ray.worker import Worker
from tune_flows.executors.ray.worker_faults import WorkerFault
from tune_flows.worker import AdvanceRequest, Batch, Outcome, StartTrial

pytestmark = pytest.mark.timeout(20)


class ModelWorker(Worker):
    """Trains at once, or raises."""

    def __init__(self, *, faulty: bool) -> None:
        self.is_stuck = False
        self.worker_output: Any = self
        self._faulty = faulty

    def serve(self, trial_id: str, outlet: object) -> None:
        """It prints nothing."""

    async def drain(self) -> None:
        """As `serve`."""

    async def ready(self) -> None:
        """It is."""

    async def advance(
        self, start: StartTrial | None, request: AdvanceRequest | None, *, batch_s: float
    ) -> Batch:
        if self._faulty:
            raise WorkerFault(FaultKind.TRAINABLE, "boom", "")
        return Batch((), (), Outcome.COMPLETED, "done")

    def kill(self) -> None:
        """Nothing to end."""


class ModelExecutor(RayExecutor):
    """Its first workers raise."""

    def __init__(self, *, faults: int, **options: Any) -> None:
        super().__init__(host={}, **options)
        self.open_s = 0.0
        self.faults = faults

    def _new_worker(self) -> Worker:
        self.faults -= 1
        return ModelWorker(faulty=self.faults >= 0)


def launch(lease: int) -> LaunchSegment:
    return LaunchSegment("t", lease, {}, 0, 0.0, None, None, None)


def test_a_trial_goes_on_where_its_task_run_is_not_retried(caplog: pytest.LogCaptureFixture):
    runs: list[str] = []

    async def without_retries(segment: Segment) -> None:
        runs.append(segment.title)
        await segment.execute()

    async def scene() -> list[Event]:
        executor = ModelExecutor(faults=3, run_segment=without_retries)
        events: list[Event] = []
        async with asyncio.timeout(10):
            for lease in range(1, 5):
                executor.submit(launch(lease))
                events += await executor.next_events()
        return events

    assert asyncio.run(scene()) == [
        *(TrialFaulted("t", lease, FaultKind.TRAINABLE, "boom", "") for lease in (1, 2, 3)),
        TrialCompleted("t", 4, "done"),
    ]
    assert runs == ["t [0 to end]"]
    assert [record.getMessage() for record in caplog.records] == [
        "t [0 to end] goes on without its task run, which was not retried after: t: boom"
    ]
