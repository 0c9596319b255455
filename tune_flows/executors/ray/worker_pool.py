"""The workers of a run: started when a trial needs one, reused, and replaced when lost.

Rules of this module:

- A waiting trial gets the first free worker, either a new one or one that another trial gave back. So a
  worker that cannot be placed, because its node is gone, delays no trial while other workers are available.
- At most as many workers start at a time as there are trials waiting for one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from tune_flows.core.events import FaultKind
from tune_flows.executors.ray.worker import Worker
from tune_flows.executors.ray.worker_faults import WorkerFault

__all__ = ["WorkerPool"]

_FRESH_S = 1.0
"""Seconds for which a worker that was given back is assumed to be alive."""
_MOST_STILLBORN = 3
"""New workers that may be lost in a row, perhaps with their node, before it counts as a trial's fault."""
_ANSWER_S = 5.0
"""Seconds within which an idle worker must answer to be used again."""


class WorkerPool:
    """Hands out workers. Belongs to one event loop.

    Args:
        make: Creates a new worker, which then starts.
        reuse: Whether a worker serves one trial after another.
    """

    def __init__(self, make: Callable[[], Worker], *, reuse: bool) -> None:
        self._make = make
        self._reuse = reuse
        self._idle: list[tuple[Worker, float]] = []
        """Workers without a trial, and when (monotonic) they were last known to be alive."""
        self._starting: dict[Worker, asyncio.Task[None]] = {}
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._stillborn = 0
        """New workers lost in a row before they were ready."""

    async def take(self) -> Worker:
        """Return a running worker, after waiting for room if necessary. A cancelled call takes none.

        Raises:
            WorkerFault: A new worker failed before it was ready.
        """
        while self._idle:
            worker, since = self._idle.pop()
            if time.monotonic() - since < _FRESH_S or await self._answers(worker):
                return worker
        place: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if len(self._starting) < len(self._waiting):
            self._begin()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.give_back(place.result())
            raise
        finally:
            if place in self._waiting:
                self._waiting.remove(place)

    def give_back(self, worker: Worker) -> None:
        """Take back a worker without a trial: hand it out again, or kill it if it cannot be reused."""
        if self._reuse and not worker.is_stuck:
            self._hand_out(worker)
        else:
            worker.kill()

    def trim(self) -> None:
        """Kill starting workers that no trial waits for: there may be no room for them any more."""
        for worker in list(self._starting)[len(self._waiting) :]:
            self._starting.pop(worker).cancel()
            worker.kill()

    def close(self) -> list[Worker]:
        """Close the pool and return the workers without a trial, for the caller to end."""
        starting, self._starting = self._starting, {}
        for task in starting.values():
            task.cancel()
        idle, self._idle = self._idle, []
        return [*starting, *(worker for worker, _ in idle)]

    async def _start(self, worker: Worker) -> None:
        try:
            await worker.ready()
        except WorkerFault as fault:
            self._starting.pop(worker, None)
            worker.kill()
            self._stillborn += 1
            may_try = fault.kind is not FaultKind.TRAINABLE and self._stillborn <= _MOST_STILLBORN
            if may_try and len(self._starting) < len(self._waiting):
                self._begin()
            elif place := self._next_in_line():
                place.set_exception(fault)
        except Exception as error:  # a bug of ours: the caller must not wait forever
            self._starting.pop(worker, None)
            if place := self._next_in_line():
                place.set_exception(error)
        else:
            self._stillborn = 0
            self._starting.pop(worker, None)
            self._hand_out(worker)

    def _begin(self) -> None:
        worker = self._make()
        self._starting[worker] = asyncio.create_task(self._start(worker))

    async def _answers(self, worker: Worker) -> bool:
        """Return whether an idle worker still answers; kill it if not, which is no fault of any trial."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await worker.ready()
        except (WorkerFault, TimeoutError):
            worker.kill()
            return False
        except asyncio.CancelledError:
            self._idle.append((worker, 0.0))
            raise
        return True

    def _hand_out(self, worker: Worker) -> None:
        place = self._next_in_line()
        if place is not None:
            place.set_result(worker)
        else:
            self._idle.append((worker, time.monotonic()))

    def _next_in_line(self) -> "asyncio.Future[Worker] | None":
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                return place
        return None
