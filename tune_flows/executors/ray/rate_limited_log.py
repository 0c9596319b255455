"""Writes output lines to the logs of task runs, no faster than a Prefect API can accept them.

Rules of this module:

- Two token buckets: one for each task run, one for all of them together.
- Lines above the rate wait in a short queue that drops its oldest lines; a line says how many were dropped.
- At the end of a task run its newest lines are written at once, so those before a fault always arrive.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from tune_flows.worker.output import Line

__all__ = ["LineLog", "Quota", "RateLimitedLog", "total_quota"]

_RATE, _BURST = 10.0, 100
"""For one task run: lines per second on average, and lines at once."""
_TOTAL_RATE, _TOTAL_BURST = 50.0, 500
"""The same for all task runs together."""
_MOST_WAITING = 50
_LAST_WORDS = 5
"""Lines that a task run may still write at its end when the quota of all task runs is used up."""
_SHORTEST_WAIT_S = 0.1


class Quota:
    """A token bucket.

    Args:
        rate: Tokens added per second.
        burst: Maximum number of tokens; the bucket starts full.
        clock: Seconds from any origin, never going back.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled = clock()

    def left(self) -> float:
        """Return the number of available tokens; below 0 if tokens were spent in advance."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return self._tokens

    def spend(self, number: int = 1) -> None:
        """Take tokens, even if they are not available yet."""
        self._tokens = self.left() - number

    def wait_s(self) -> float:
        """Return the seconds until a whole token is available."""
        return max(0.0, (1.0 - self.left()) / self._rate)


def total_quota(clock: Callable[[], float] = time.monotonic) -> Quota:
    """Return the quota for all task runs of a run together."""
    return Quota(_TOTAL_RATE, _TOTAL_BURST, clock)


class LineLog(Protocol):
    """A log that lines are written to."""

    def wants(self, level: int) -> bool:
        """Return whether the log accepts lines of this level."""
        ...

    def write(self, line: Line) -> None:
        """Write one line."""
        ...


class RateLimitedLog:
    """Writes lines to the log of one task run at a limited rate.

    Args:
        log: The task run's log.
        total: The quota of all task runs together.
        clock: Clock of the task run's own quota.
        later: Calls a function after a number of seconds; by default the running loop's `call_later`.
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
        """The log that lines are written to."""
        self._total = total
        self._own = Quota(_RATE, _BURST, clock)
        self._later = later
        self._waiting: deque[Line] = deque()
        self._left_out = 0
        self._is_due = False

    def hear(self, lines: Iterable[Line]) -> None:
        """Take lines in order: each is written, kept waiting, or left out."""
        for line in lines:
            if not self.log.wants(line.level):
                continue
            self._waiting.append(line)
            self._pass_on()
            while len(self._waiting) > _MOST_WAITING:
                self._drop()
        self._come_back()

    def flush(self) -> None:
        """Write the waiting lines now, because the task run ends."""
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
        """Schedule the next write for when a token is available."""
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
    """The last line that was left out."""
