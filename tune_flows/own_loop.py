"""A coroutine in an event loop on a thread of its own.

The caller may stand in a loop already (a notebook, an async flow), and signals that Prefect and Python turn
into exceptions must not strike in the middle of the loop: they reach the waiting caller, who cancels it in
order.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["run_in_own_loop"]

T = TypeVar("T")


def run_in_own_loop(main: Callable[[], Coroutine[Any, Any, T]], *, name: str) -> T:
    """Run `main()` to its end in a new event loop on a new thread, in a copy of the caller's context.

    Whatever interrupts the caller while it waits (KeyboardInterrupt, Prefect's TerminationSignal) cancels the
    coroutine, is held until that has cleaned up, and is raised then.
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

    context = contextvars.copy_context()
    worker = threading.Thread(target=context.run, args=(thread,), name=name, daemon=True)
    worker.start()
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            loop, task = running.result()
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        worker.join()
