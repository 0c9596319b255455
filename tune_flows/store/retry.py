"""The one retry loop of the library: exponential backoff with jitter, bounded by a budget in seconds.

Every other loop (botocore's, s3fs's) is switched off, since nested ones multiply. An outage gets a line in
the log when it has lasted a little, and another one at its end, so that whoever waits knows for what. Whoever
ends a run gives up what is pending, from any thread.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tune_flows.core.errors import StorageError, TuneError
from tune_flows.store.faults import final_reason

__all__ = ["Outage", "Retry", "RetryDeadline"]

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Outage:
    """Whether the storage is known not to answer; shared by all operations on it, so that it is said once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    def begin(self, since: float, message: str) -> None:
        """Say that it does not answer, unless that was said."""
        with self._lock:
            if self._since is None:
                self._since = since
                _log.warning(message)

    def end(self, now: float, what: str) -> None:
        """Say that it answers again, if it was said not to."""
        with self._lock:
            if self._since is not None:
                _log.warning("%s: the storage answers again, after %.0f s.", what, now - self._since)
                self._since = None

    def __bool__(self) -> bool:
        return self._since is not None


class RetryDeadline:
    """The time after which nothing is tried again; shared by all operations on a storage."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at = float("inf")

    @property
    def at(self) -> float:
        """The time, by the clock of whoever set it; inf: it was not set."""
        return self._at

    def set(self, at: float) -> None:
        """No more tries after `at`, or after what was set before if that is earlier; wakes all who wait."""
        with self._changed:
            self._at = min(self._at, at)
            self._changed.notify_all()

    def wait(self, seconds: float, known_at: float) -> None:
        """Sleep, unless the time is not `known_at` any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._at != known_at, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Repeats an operation until it succeeds, fails for good, or has failed for `budget_s` seconds.

    The budget counts from the first failure, so that a large upload does not use it up by being slow.
    """

    budget_s: float = 60.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    notice_after_s: float = 2.0
    """How long an operation may last until a failure of it is logged."""
    outage: Outage = field(default_factory=Outage)
    last_call: RetryDeadline = field(default_factory=RetryDeadline)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None
    """Waits between two attempts; None: until `abandon_after` at the latest."""
    jitter: Callable[[float, float], float] = random.uniform

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Nothing is tried again once `after_s` seconds have passed, now and later; from any thread.

        An attempt that is under way then is not cut short.
        """
        self.last_call.set(self.clock() + after_s)

    def call(self, operation: Callable[[], T], *, what: str, local: bool) -> T:
        """What the operation returns.

        Args:
            operation: Must be safe to repeat when the outcome of an earlier attempt is unknown.
            what: Verb and URL, for the message.
            local: Whether it works on a local file system (`faults.final_reason`).

        Raises:
            StorageError: Final at once if no other try can help, else after the budget or `abandon_after`.
        """
        started = self.clock()
        spent_at = float("inf")
        noticed = False
        attempt = 0
        while True:
            try:
                result = operation()
            except TuneError:
                raise
            except Exception as error:
                attempt += 1
                now = self.clock()
                spent_at = min(spent_at, now + self.budget_s)
                last_call_at = self.last_call.at
                self._refuse(error, what, local=local)
                if now >= min(spent_at, last_call_at):
                    raise self._failure(error, what, attempts=attempt, given_up=now < spent_at) from error
                left_s = min(spent_at, last_call_at) - now
                if not noticed and now - started >= self.notice_after_s:
                    noticed = True
                    self.outage.begin(started, _notice(what, error, now - started, left_s))
                self._wait(attempt, min(self.longest_wait_s, left_s), last_call_at)
            else:
                if self.outage:
                    self.outage.end(self.clock(), what)
                return result

    def _refuse(self, error: Exception, what: str, *, local: bool) -> None:
        reason = final_reason(error, local=local)
        if reason is not None:
            raise StorageError(f"{what}: {reason}. ({_shown(error)})") from error

    def _failure(self, error: Exception, what: str, *, attempts: int, given_up: bool) -> StorageError:
        tried = f"no success in {attempts} attempt{'s' if attempts > 1 else ''}"
        if given_up:
            return StorageError(
                f"{what}: {tried}, then given up because the run is being stopped; last: {_shown(error)}"
            )
        return StorageError(
            f"{what}: {tried} over {self.budget_s:g} s, last: {_shown(error)}. "
            "Is the storage up and reachable (AWS_ENDPOINT_URL)?"
        )

    def _wait(self, attempt: int, at_most_s: float, last_call_at: float) -> None:
        longest = self.first_wait_s * 2.0 ** min(attempt - 1, 20)
        seconds = min(self.jitter(longest / 2, longest), at_most_s)
        if self.sleep is None:
            self.last_call.wait(seconds, last_call_at)
        else:
            self.sleep(seconds)


def _notice(what: str, error: Exception, lasted_s: float, left_s: float) -> str:
    return (
        f"{what}: the storage does not answer for {lasted_s:.0f} s now; trying again for up to "
        f"{left_s:.0f} s. ({_shown(error)})"
    )


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
