"""The driver's ear for requests to end its session (`tune-flows stop`)."""

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
"""Seconds between two looks: one GET each, beside the loop and its commits."""


@asynccontextmanager
async def listening(store: ObjectStore, epoch: int, stop: Callable[[str], None]) -> AsyncGenerator[None]:
    """Look for a request to the driver of `epoch` while the block runs; `stop` is called with its reason."""
    task = asyncio.create_task(_listen(store, epoch, stop))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _listen(store: ObjectStore, epoch: int, stop: Callable[[str], None]) -> None:
    once = store.with_budget(0)  # the next look is soon: an outage is for others to sit out and to tell of
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
