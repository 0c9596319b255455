"""What a worker's trainable prints reaches its log: with answers, beside a long call, and after a fault."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tune_flows.executors.ray.rate_limited_log import RateLimitedLog, total_quota
from tune_flows.executors.ray.worker_output import WorkerOutput, is_noise, is_own_file
from tune_flows.worker.output import Line, Output


class Log:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def wants(self, level: int) -> bool:
        return True

    def write(self, line: Line) -> None:
        self.texts.append(line.text)


def output(*texts: str) -> Output:
    return Output(tuple(Line("trial", 0.0, 20, "stdout", text) for text in texts), ())


def heard(
    scene: Callable[[WorkerOutput, Log], Coroutine[Any, Any, None]], ask: Callable[[bool], Any]
) -> list[str]:
    async def run() -> list[str]:
        async def asked(whole: bool) -> Output | None:
            return await ask(whole)

        log = Log()
        worker_output = WorkerOutput(asked, ask_s=0.001)
        worker_output.serve("trial", RateLimitedLog(log, total_quota()))
        async with asyncio.timeout(10):
            await scene(worker_output, log)
        return log.texts

    return asyncio.run(run())


def test_a_long_call_is_asked_beside_and_the_order_holds():
    answers = [output("one"), None, output("two")]
    asked, gate = asyncio.Event(), asyncio.Event()

    async def ask(whole: bool) -> Output | None:
        assert not whole
        if answers:
            return answers.pop(0)
        asked.set()
        await gate.wait()
        return output("three")

    async def scene(worker_output: WorkerOutput, log: Log) -> None:
        with worker_output.listening():
            while len(log.texts) < 2:
                await asyncio.sleep(0)
            await asked.wait()
        gate.set()
        await worker_output.settle()
        worker_output.hear(output("four"))

    assert heard(scene, ask) == ["one", "two", "three", "four"]


def test_a_short_call_asks_nothing():
    async def ask(whole: bool) -> Output | None:
        raise AssertionError

    async def scene(worker_output: WorkerOutput, log: Log) -> None:
        with worker_output.listening():
            pass
        await asyncio.sleep(0.01)
        worker_output.hear(None)

    assert heard(scene, ask) == []


def test_a_worker_that_lives_has_its_last_words_asked():
    async def ask(whole: bool) -> Output | None:
        assert whole
        return output("half a line")

    assert heard(lambda worker_output, log: worker_output.drain(), ask) == ["half a line"]


def test_a_worker_that_is_gone_and_never_answered_has_none():
    async def ask(whole: bool) -> Output | None:
        raise ConnectionError

    assert heard(lambda worker_output, log: worker_output.drain(), ask) == []


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        (":actor_name:HostActor", True),
        (":job_id:01000000", True),
        ("[2026-11-23 07:55:32,309 E 15797 15833] logging.cc:474: *** SIGSEGV", True),
        ("[2026-11-23 07:55:32] epoch 1", False),
        ("Fatal Python error: Segmentation fault", False),
        (":memo: mine", False),
    ],
)
def test_noise(text: str, noise: bool):
    assert is_noise(text) is noise


def test_own_files():
    pid, worker = os.getpid(), "4711" * 14
    assert is_own_file(f"/tmp/ray/session/logs/worker-{worker}-01000000-{pid}.out")
    assert not is_own_file(f"/tmp/ray/session/logs/worker-{worker}-01000000-{pid}1.err")
    assert not is_own_file(f"/home/me-{pid}.d/driver.log")
