"""Polls for `tune-flows stop` requests to the driver."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from tune_flows.core.errors import StorageError
from tune_flows.store import ObjectStore
from tune_flows.store.control_files import read_stop_request, remove_stop_request

__all__ = ["LOOK_S", "listening"]

_log = logging.getLogger(__name__)
LOOK_S = 3.0
"""Seconds between two polls, each of which is one GET request outside the driver's loop."""


@asynccontextmanager
async def listening(store: ObjectStore, epoch: int, stop: Callable[[str], None]) -> AsyncGenerator[None]:
    """Poll for a request to the driver of `epoch` while the block runs; call `stop` with its reason."""
    task = asyncio.create_task(_listen(store, epoch, stop))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _listen(store: ObjectStore, epoch: int, stop: Callable[[str], None]) -> None:
    once = store.with_budget(0)  # no retries: the next poll is soon, and other operations report an outage
    while True:
        await asyncio.sleep(LOOK_S)
        with suppress(StorageError):
            if (who := await asyncio.to_thread(read_stop_request, once, epoch)) is not None:
                break
    stop(f"{who} asked for it")
    try:
        await asyncio.to_thread(remove_stop_request, store, epoch)
    except StorageError as error:
        _log.warning("the request to stop stays, which does no harm: %s", error)
