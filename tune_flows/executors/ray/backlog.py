"""A bounded backlog of results to journal: while the storage is down, training continues until it is full."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.events import Event, ResultsReported

__all__ = ["Backlog"]

_log = logging.getLogger(__name__)


class Backlog:
    """Counts results until the driver takes them, and makes trials wait when there are too many.

    Belongs to one event loop. Batches under way when it fills up, one per worker, are still added.

    Args:
        limit: Maximum number of waiting results.
        notice_after_s: Seconds that training must have waited before this is logged.

    Raises:
        InvalidParameter: The limit is below 1.
    """

    def __init__(self, limit: int, *, notice_after_s: float = 2.0) -> None:
        if limit < 1:
            raise InvalidParameter.of("max_backlog", limit, "results, 1 or more")
        self._limit = limit
        self._notice_after_s = notice_after_s
        self._count = 0
        self._stirred = asyncio.Event()
        self._notice: asyncio.TimerHandle | None = None
        self._is_said = False

    def add(self, events: Iterable[Event]) -> None:
        """Count the results in `events` as waiting."""
        self._count += sum(len(event.results) for event in events if isinstance(event, ResultsReported))

    def clear(self) -> None:
        """Reset the count: the driver has taken all results."""
        self._count = 0
        if self._notice is not None:
            self._notice.cancel()
            self._notice = None
        if self._is_said:
            self._is_said = False
            _log.warning("Training goes on: the results that had piled up are being journalled.")
        self.stir()

    def stir(self) -> None:
        """Make every `wait_for_room` check again."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def wait_for_room(self, *, unless: Callable[[], object]) -> None:
        """Wait until there is room or `unless()` is true (checked at the start and after each `stir`)."""
        while self._count >= self._limit and not unless():
            if self._notice is None:
                loop = asyncio.get_running_loop()
                self._notice = loop.call_later(self._notice_after_s, self._say_that_it_waits)
            await self._stirred.wait()

    def _say_that_it_waits(self) -> None:
        self._is_said = True
        _log.warning(
            "Training waits for the storage: %d results wait to be journalled, of at most %d.",
            self._count,
            self._limit,
        )
