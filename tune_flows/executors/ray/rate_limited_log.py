"""The way of output lines into the logs of task runs, no faster than a Prefect API can take them in.

Rules of this module:

- Two token buckets: one for each task run, one for all of them together.
- What may not go yet waits in a short queue, from which the oldest lines drop out; a line tells how many.
- The end of a task run does not wait: its newest lines go at once, so those before a fault always arrive.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from tune_flows.worker.output import Line

__all__ = ["LineLog", "Quota", "RateLimitedLog", "total_quota"]

_RATE, _BURST = 10.0, 100
"""Lines per second for a task run on average, and at once."""
_TOTAL_RATE, _TOTAL_BURST = 50.0, 500
"""The same for all task runs together."""
_MOST_WAITING = 50
_LAST_WORDS = 5
"""Lines that a task run may end with when all together have been too many already."""
_SHORTEST_WAIT_S = 0.1


class Quota:
    """A token bucket.

    Args:
        rate: Tokens that come per second.
        burst: Tokens that it holds; it begins full.
        clock: Seconds from any origin, never going back.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled = clock()

    def left(self) -> float:
        """Tokens that are there; below 0: spent in advance."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return self._tokens

    def spend(self, number: int = 1) -> None:
        """Take tokens out, even if they are not there."""
        self._tokens = self.left() - number

    def wait_s(self) -> float:
        """Seconds until there is a whole token."""
        return max(0.0, (1.0 - self.left()) / self._rate)


def total_quota(clock: Callable[[], float] = time.monotonic) -> Quota:
    """For all task runs of a run."""
    return Quota(_TOTAL_RATE, _TOTAL_BURST, clock)


class LineLog(Protocol):
    """Where lines end up."""

    def wants(self, level: int) -> bool:
        """Whether it takes lines of this level."""
        ...

    def write(self, line: Line) -> None:
        """Take one."""
        ...


class RateLimitedLog:
    """The way to the log of one task run.

    Args:
        log: That log.
        total: For all task runs together.
        clock: For the task run's own quota.
        later: Calls back after so many seconds; the running loop's `call_later` by default.
    """

    def __init__(
        self,
        log: LineLog,
        total: Quota,
        *,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self.log = log
        """Where lines end up."""
        self._total = total
        self._own = Quota(_RATE, _BURST, clock)
        self._later = later
        self._waiting: deque[Line] = deque()
        self._left_out = 0
        self._is_due = False

    def hear(self, lines: Iterable[Line]) -> None:
        """Lines in order: written, kept waiting, or left out."""
        for line in lines:
            if not self.log.wants(line.level):
                continue
            self._waiting.append(line)
            self._pass_on()
            while len(self._waiting) > _MOST_WAITING:
                self._drop()
        self._come_back()

    def flush(self) -> None:
        """Write what waits, now: the task run ends."""
        most = _MOST_WAITING if self._total.left() >= 1 else _LAST_WORDS
        while len(self._waiting) > most:
            self._drop()
        while self._waiting:
            self._write_next()
        self._tell_left_out(self._newest)

    def _pass_on(self) -> None:
        while self._waiting and self._own.left() >= 1 and self._total.left() >= 1:
            self._write_next()

    def _write_next(self) -> None:
        line = self._waiting.popleft()
        if line.left_out:
            self._left_out += line.left_out
            self._newest = line
            return
        self._tell_left_out(line)
        self._write(line)

    def _drop(self) -> None:
        self._newest = self._waiting.popleft()
        self._left_out += self._newest.left_out or 1

    def _tell_left_out(self, beside: Line | None) -> None:
        number, self._left_out = self._left_out, 0
        if number and beside is not None:
            text = f"[{number:,} line{'s' if number > 1 else ''} left out]"
            self._write(beside._replace(text=text, left_out=number))

    def _write(self, line: Line) -> None:
        self._own.spend()
        self._total.spend()
        self.log.write(line)

    def _come_back(self) -> None:
        """Once there is a token again."""
        if self._is_due or not self._waiting:
            return
        self._is_due = True
        later = self._later or asyncio.get_running_loop().call_later
        later(max(self._own.wait_s(), self._total.wait_s(), _SHORTEST_WAIT_S), self._again)

    def _again(self) -> None:
        self._is_due = False
        self._pass_on()
        self._come_back()

    _newest: Line | None = None
    """The last one that was left out."""
