"""Runs a coroutine in an event loop on a separate thread.

The caller may already be inside a loop (a notebook, an async flow). And signals that Prefect and Python turn
into exceptions must not interrupt the loop at an arbitrary point: they reach the waiting caller, which ends
the loop in an orderly way.
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
"""Seconds to wait for the thread to begin; after that its start counts as interrupted."""
_LOOK_S = 0.2
"""Seconds between two checks whether the caller must end: its task was cancelled, or an exception was
injected into its thread (Prefect's `timeout_seconds` outside the main thread), which interrupts no wait."""


def run_in_own_loop(
    main: Callable[[], Coroutine[Any, Any, T]], *, name: str, stop: Callable[[], object] | None = None
) -> T:
    """Run `main()` until it ends, in a new event loop on a new thread and a copy of the caller's context.

    An exception that interrupts the waiting caller (KeyboardInterrupt, Prefect's TerminationSignal) is raised
    only after the coroutine has ended. On the first one, `stop` is called in the loop, so that the coroutine
    ends by itself; on the second one, the coroutine is cancelled. Without `stop` it is cancelled on the first
    one.
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
        with suppress(RuntimeError):  # the loop has ended meanwhile
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
    """Wait for the result; a caller that blocks a loop must check itself whether its task was cancelled."""
    task = None
    with suppress(RuntimeError):  # no loop
        task = asyncio.current_task()
    while not wait([outcome], timeout=_LOOK_S).done:
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
    return outcome.result()
