"""Rate limits for log lines and events, with a count of what was left out."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Rate", "RateBound"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A burst of `at_once`, and after that `per_s` per second."""

    at_once: int
    per_s: float


class RateBound:
    """Lets through what the rate allows (a token bucket).

    Args:
        rate: The bound.
        clock: Monotonic time in seconds.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self.left_out = 0
        """Total number that was not let through."""
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate.at_once)
        self._looked = clock()

    @property
    def is_open(self) -> bool:
        """Whether the next one would be let through."""
        now = self._clock()
        gained = (now - self._looked) * self._rate.per_s
        self._tokens, self._looked = min(float(self._rate.at_once), self._tokens + gained), now
        return self._tokens >= 1

    def passes(self) -> bool:
        """Let one through, or leave it out and count it."""
        if not self.is_open:
            self.left_out += 1
            return False
        self._tokens -= 1
        return True
