"""Deletes checkpoints on separate threads: training may create them faster than they can be deleted.

Checkpoints left when a session ends are orphans, which the next driver of the experiment collects.
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
"""Seconds allowed at the end of an experiment for deletions that are still queued."""
_WIDTH = 4


class CheckpointDeleter:
    """Deletes checkpoints, at most four at a time. Call its methods from the driver's event loop only.

    Args:
        checkpoints: The store that holds them.
    """

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints
        self._left = deque[CheckpointRef]()
        self._at_work: set[asyncio.Task[None]] = set()
        self._until = math.inf
        self._threads = ThreadPoolExecutor(_WIDTH, thread_name_prefix="checkpoint-deleter")

    def delete(self, checkpoint: CheckpointRef) -> None:
        """Delete `checkpoint` in the background; it is queued while four deletions are running."""
        if len(self._at_work) == _WIDTH:
            self._left.append(checkpoint)
            return
        task = asyncio.create_task(self._work(checkpoint))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    def abandon_after(self, after_s: float = 0.0) -> None:
        """After `after_s` seconds, start no further deletion and retry none that failed."""
        self._until = min(self._until, time.monotonic() + after_s)
        self._checkpoints.abandon_after(after_s)

    async def close(self) -> None:
        """Wait until all checkpoints are deleted or the time set by `abandon_after` has passed."""
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
        # the context ties the store's log lines to this run
        context, delete, ref = copy_context(), self._checkpoints.delete, asdict(checkpoint)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, lambda: context.run(delete, ref))
        except StorageError as error:
            _log.warning("a checkpoint that nobody needs stays: %s", error)
