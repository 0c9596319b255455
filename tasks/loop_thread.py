"""A coroutine in an event loop on a thread of its own.

The caller may stand in a loop already (a notebook, an async flow), and signals that Prefect and Python turn
into exceptions must not strike in the middle of the loop: they reach the waiting caller, who ends it in
order.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["run_in_own_loop"]

T = TypeVar("T")

_BEGINS_S = 1.0
"""Seconds after which a thread does not begin any more: its start was interrupted."""
_LOOK_S = 0.2
"""Seconds between two looks at whether the caller was told to end: by its task, or by an exception that was
injected into its thread (Prefect's `timeout_seconds` outside the main thread), which no wait hears."""


def run_in_own_loop(
    main: Callable[[], Coroutine[Any, Any, T]], *, name: str, stop: Callable[[], object] | None = None
) -> T:
    """Run `main()` to its end in a new event loop on a new thread, in a copy of the caller's context.

    Whatever interrupts the caller while it waits (KeyboardInterrupt, Prefect's TerminationSignal) is held
    until the coroutine has come to its end, and is raised then: the first time `stop` is called in the loop,
    so that the coroutine ends by itself, the second time the coroutine is cancelled. Without `stop` it is
    cancelled the first time.
    """
    outcome: Future[T] = Future()
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    async def body() -> T:
        task = asyncio.ensure_future(main())
        running.set_result((asyncio.get_running_loop(), task))
        return await task

    def thread() -> None:
        try:
            outcome.set_result(asyncio.run(body()))
        except BaseException as error:
            outcome.set_exception(error)

    def in_loop(act: Callable[[], object] | None) -> None:
        loop, task = running.result()
        with suppress(RuntimeError):  # it has ended meanwhile
            loop.call_soon_threadsafe(act or task.cancel)

    context = contextvars.copy_context()
    worker = threading.Thread(target=context.run, args=(thread,), name=name, daemon=True)
    try:
        worker.start()
        return _awaited(outcome)
    except BaseException:
        if wait([running], timeout=_BEGINS_S).done and not outcome.done():
            try:
                in_loop(stop)
                outcome.exception()
            except BaseException:
                in_loop(None)
                raise
        raise
    finally:
        if running.done():
            worker.join()


def _awaited(outcome: Future[T]) -> T:
    """The result; a caller who blocks a loop looks by itself whether its task there was cancelled."""
    task = None
    with suppress(RuntimeError):  # no loop
        task = asyncio.current_task()
    while not wait([outcome], timeout=_LOOK_S).done:
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
    return outcome.result()
