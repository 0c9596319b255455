"""Who interrupts the caller: the coroutine ends by itself, or at once."""

import asyncio
import ctypes
import signal
import threading

import pytest

from tune_flows.tasks.loop_thread import run_in_own_loop


class Interrupted(BaseException):
    """What a handler of signals raises."""


@pytest.fixture
def interrupt():
    """Interrupts the main thread where it waits."""

    def handler(number, frame):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    yield lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_an_exception_that_is_injected_into_a_thread_is_heard():
    told, ended, caught = threading.Event(), asyncio.Event(), []

    async def main():
        told.set()
        await ended.wait()

    def caller():
        try:
            run_in_own_loop(main, name="mine", stop=ended.set)
        except Interrupted as error:
            caught.append(error)

    thread = threading.Thread(target=caller)
    thread.start()
    assert told.wait(10)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted))
    thread.join(10)
    assert not thread.is_alive()
    assert len(caught) == 1


def test_what_it_returns_and_raises():
    async def main():
        return threading.current_thread().name

    async def fails():
        raise TimeoutError("its own")

    assert run_in_own_loop(main, name="mine") == "mine"
    with pytest.raises(TimeoutError, match="its own"):
        run_in_own_loop(fails, name="mine")


def test_the_first_interruption_lets_it_end_by_itself(interrupt):
    story = []
    told = asyncio.Event()

    def stop():
        story.append("told")
        told.set()

    async def main():
        interrupt()
        await told.wait()
        story.append("ended")

    with pytest.raises(Interrupted):
        run_in_own_loop(main, name="mine", stop=stop)
    assert story == ["told", "ended"]


def test_the_second_interruption_ends_it_at_once(interrupt):
    story = []

    async def main():
        interrupt()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            story.append("cancelled")
            raise

    with pytest.raises(Interrupted):
        run_in_own_loop(main, name="mine", stop=interrupt)
    assert story == ["cancelled"]


def test_without_a_way_to_stop_the_first_one_cancels(interrupt):
    async def main():
        interrupt()
        await asyncio.Event().wait()

    with pytest.raises(Interrupted):
        run_in_own_loop(main, name="mine")


def test_a_caller_whose_task_is_cancelled_while_it_blocks_its_loop():
    told = asyncio.Event()

    async def main():
        task.cancel()  # as asyncio does it at Ctrl-C, from a handler of signals
        await told.wait()

    async def caller():
        run_in_own_loop(main, name="mine", stop=told.set)

    async def scene():
        nonlocal task
        task = asyncio.create_task(caller())
        with pytest.raises(asyncio.CancelledError):
            await task

    task: asyncio.Task
    asyncio.run(scene())
