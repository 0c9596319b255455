"""Forwards what a worker's trainable prints to the log of the task run that the worker serves.

Rules of this module:

- Every reply of a worker includes its output so far; a trainable that prints nothing costs nothing.
- During a long call, the worker is polled for output every two seconds.
- If a worker is gone, its log files are read: here, or by a Ray task on its node. If the node is gone too,
  that output is lost.
"""

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tune_flows.executors.ray.rate_limited_log import RateLimitedLog
from tune_flows.worker.output import Line, LogPlace, Output, lines_since

__all__ = ["WorkerLocation", "WorkerOutput", "is_noise", "is_own_file"]

_log = logging.getLogger(__name__)

_ASK_S = 2.0
_ANSWER_S = 2.0
"""Seconds within which a worker that has faulted must hand over its remaining output."""
_READ_S = 3.0
"""Seconds within which the log files of a worker that is gone must be read."""

_LOGGED = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) ([\w.]+): (.*)")
"""A log record as `FallbackHandler` writes it to the file."""
_NOISE = re.compile(
    r":(job_id|actor_name|task_name):"  # tells Ray's log monitor whose lines follow
    r"|\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z] \d+ \d+\] "  # log lines of Ray's C++ code
)


class WorkerLocation(NamedTuple):
    """Where a worker runs, and where its output is stored."""

    node_id: str
    places: tuple[LogPlace, ...]


def is_noise(text: str) -> bool:
    """Return whether a line in a worker's log files was written by Ray itself."""
    return _NOISE.match(text) is not None


def is_own_file(path: str) -> bool:
    """Return whether only this process writes to `path`; with `RAY_LOG_TO_STDERR=1` all share one place."""
    return f"-{os.getpid()}." in os.path.basename(path)


class WorkerOutput:
    """Collects the output of one worker.

    Args:
        ask: Requests the worker's output; the argument says whether to include an unfinished last line.
        ask_s: Seconds between two requests while a call is under way.
    """

    def __init__(self, ask: Callable[[bool], Awaitable[Output | None]], *, ask_s: float = _ASK_S) -> None:
        self._outlet: RateLimitedLog | None = None
        self._trial_id = ""
        self.whereabouts: WorkerLocation | None = None
        """Where the worker runs; None: it has never answered, or its files have been read."""
        self._ask = ask
        self._ask_s = ask_s
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def serve(self, trial_id: str, outlet: RateLimitedLog) -> None:
        """Write the worker's lines to `outlet` until the next call; the worker trains `trial_id`."""
        self._trial_id, self._outlet = trial_id, outlet

    def hear(self, output: Output | None) -> None:
        """Take the output that came with a reply."""
        if output is None:
            return
        if self.whereabouts is not None:
            self.whereabouts = self.whereabouts._replace(places=output.places)
        self._pass_on(output.lines)

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """Poll the worker for output while the block, a call to it, is running."""
        self._wait()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    async def settle(self) -> None:
        """Wait for a request under way, so that its lines come before those of the next reply."""
        if self._asking is not None:
            await asyncio.wait({self._asking}, timeout=_ANSWER_S)

    async def drain(self) -> None:
        """Collect a faulted worker's remaining output: from the worker, or from its files if it is gone."""
        await self.settle()
        try:
            async with asyncio.timeout(_ANSWER_S):
                self.hear(await self._ask(True))
        except (ray.exceptions.RayError, ConnectionError, TimeoutError):
            await self._read_files()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._ask_s, self._begin)

    def _begin(self) -> None:
        self._asking = asyncio.create_task(self._ask_beside())

    async def _ask_beside(self) -> None:
        try:
            self.hear(await self._ask(False))
        except (ray.exceptions.RayError, ConnectionError):
            return  # the call under way reports the failure
        finally:
            self._asking = None
        if self._timer is not None:
            self._wait()

    async def _read_files(self) -> None:
        found = self.whereabouts
        if found is None:
            return
        self.whereabouts = None  # the files are read only once
        try:
            async with asyncio.timeout(_READ_S):
                if found.node_id == _own_node():
                    read = await asyncio.to_thread(_read, found.places, self._trial_id)
                else:
                    there = NodeAffinitySchedulingStrategy(found.node_id, soft=False)
                    task: Any = ray.remote(_read).options(
                        num_cpus=0, scheduling_strategy=there, max_retries=0
                    )
                    read = await task.remote(found.places, self._trial_id)
        except Exception as error:  # only debug: the fault itself is reported anyway
            _log.debug("the last words of a worker of %s are lost: %s", self._trial_id, error)
        else:
            self._pass_on(tuple(read))

    def _pass_on(self, lines: tuple[Line, ...]) -> None:
        if self._outlet is not None:
            self._outlet.hear(lines)


def _own_node() -> str:
    context: Any = ray.get_runtime_context()
    return context.get_node_id()


def _read(places: tuple[LogPlace, ...], trial_id: str) -> list[Line]:
    """Read the remaining lines of the log files; runs on the node that stores them."""
    lines: list[Line] = []
    for place in places:
        for text, left_out in lines_since(place):
            line = Line(trial_id, time.time(), logging.INFO, place.source, text)
            if left_out:
                lines.append(line._replace(text="", left_out=left_out))
            if record := _LOGGED.fullmatch(text):
                level = logging.getLevelNamesMapping()[record[1]]
                lines.append(line._replace(level=level, source=record[2], text=record[3]))
            elif not is_noise(text):
                lines.append(line)
    return lines
