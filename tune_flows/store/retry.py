"""The one retry loop of the library: exponential backoff with jitter, bounded by a budget in seconds.

Other retry loops (botocore's, s3fs's) are disabled, since nested loops multiply the attempts. An outage is
logged once it has lasted `notice_after_s` and again when it ends, so that users know what a run waits for.
A run that is being stopped can abandon pending operations from any thread.
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
    """Whether the storage is known to be unreachable; shared by its operations, so that it is logged once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    def begin(self, since: float, message: str) -> None:
        """Log the start of an outage, unless it was logged before."""
        with self._lock:
            if self._since is None:
                self._since = since
                _log.warning(message)

    def end(self, now: float, what: str) -> None:
        """Log the end of an outage if its start was logged."""
        with self._lock:
            if self._since is not None:
                _log.warning("%s: the storage answers again, after %.0f s.", what, now - self._since)
                self._since = None

    def __bool__(self) -> bool:
        return self._since is not None


class RetryDeadline:
    """The time after which nothing is retried; shared by all operations on a storage."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at = float("inf")

    @property
    def at(self) -> float:
        """The time, by the clock used by the caller of `set`; inf if not set."""
        return self._at

    def set(self, at: float) -> None:
        """Set the time to `at`, unless an earlier one is set, and wake all threads in `wait`."""
        with self._changed:
            self._at = min(self._at, at)
            self._changed.notify_all()

    def wait(self, seconds: float, known_at: float) -> None:
        """Sleep for `seconds`, or until the time differs from `known_at`."""
        with self._changed:
            self._changed.wait_for(lambda: self._at != known_at, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Retries an operation until it succeeds, fails with a final error or has failed for `budget_s` seconds.

    The budget counts from the first failure, so that a slow large upload does not use it up.
    """

    budget_s: float = 60.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    notice_after_s: float = 2.0
    """Seconds that an operation must have lasted before a failure is logged."""
    outage: Outage = field(default_factory=Outage)
    last_call: RetryDeadline = field(default_factory=RetryDeadline)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None
    """Function that waits between two attempts; None: a wait that `abandon_after` can end."""
    jitter: Callable[[float, float], float] = random.uniform

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Stop retrying current and later operations once `after_s` seconds have passed; from any thread.

        An attempt that is running then is not interrupted.
        """
        self.last_call.set(self.clock() + after_s)

    def call(self, operation: Callable[[], T], *, what: str, local: bool) -> T:
        """Run the operation with retries and return its result.

        Args:
            operation: Must be safe to repeat when the outcome of an earlier attempt is unknown.
            what: Verb and URL, for messages.
            local: Whether it works on a local file system (`faults.final_reason`).

        Raises:
            StorageError: Immediately for a final error, else after the budget or `abandon_after`.
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
