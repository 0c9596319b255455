"""The clock of a session: Unix time that neither jumps nor goes back."""

import time
from collections.abc import Callable

__all__ = ["session_clock"]


def session_clock(not_before: float = 0.0) -> Callable[[], float]:
    """Return a clock that is set once and is independent of later changes of the system clock.

    Budgets are computed from differences of journalled times. A clock that is corrected meanwhile, or a next
    driver whose clock is behind, must not change the measured duration of a session.

    Args:
        not_before: Earliest time to start from, in Unix seconds: the newest time in the journal.
    """
    began, zero = max(time.time(), not_before), time.monotonic()
    return lambda: began + (time.monotonic() - zero)
