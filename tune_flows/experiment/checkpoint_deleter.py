"""Deletes checkpoints beside the loop, on threads of its own: training may make them faster than they go.

What is left when a session ends is an orphan, which the next driver of the experiment collects.
"""

import asyncio
import logging
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict

from tune_flows.core.errors import StorageError
from tune_flows.core.trial import CheckpointRef
from tune_flows.store import CheckpointStore

__all__ = ["TIDY_S", "CheckpointDeleter"]

_log = logging.getLogger(__name__)
TIDY_S = 60.0
"""Seconds that the end of an experiment gets for the deletions that are still waiting."""
_WIDTH = 4


class CheckpointDeleter:
    """Deletes one checkpoint after the other, four at a time. All calls from the driver's loop.

    Args:
        checkpoints: Where they lie.
    """

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints
        self._left = deque[CheckpointRef]()
        self._at_work: set[asyncio.Task[None]] = set()
        self._until = math.inf
        self._threads = ThreadPoolExecutor(_WIDTH, thread_name_prefix="janitor")

    def delete(self, checkpoint: CheckpointRef) -> None:
        """Have it deleted, soon: at once where nothing else is being deleted."""
        if len(self._at_work) == _WIDTH:
            self._left.append(checkpoint)
            return
        task = asyncio.create_task(self._work(checkpoint))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Once `after_s` seconds have passed, begin with none and try none again that the storage refused."""
        self._until = min(self._until, time.monotonic() + after_s)
        self._checkpoints.abandon_after(after_s)

    async def close(self) -> None:
        """Wait until all are deleted, or until the time that was given to `abandon_after`."""
        await asyncio.gather(*self._at_work)
        self._threads.shutdown()
        if self._left:
            _log.warning(
                "%d checkpoints that nobody needs stay until the experiment is carried on.", len(self._left)
            )

    async def _work(self, first: CheckpointRef) -> None:
        await self._delete(first)
        while self._left and time.monotonic() < self._until:
            await self._delete(self._left.popleft())

    async def _delete(self, checkpoint: CheckpointRef) -> None:
        # what the store logs on a thread is of this run
        context, delete, ref = copy_context(), self._checkpoints.delete, asdict(checkpoint)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, lambda: context.run(delete, ref))
        except StorageError as error:
            _log.warning("a checkpoint that nobody needs stays: %s", error)
