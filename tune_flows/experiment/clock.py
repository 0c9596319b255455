"""The time of a session: Unix time that neither jumps nor goes back."""

import time
from collections.abc import Callable

__all__ = ["session_clock"]


def session_clock(not_before: float = 0.0) -> Callable[[], float]:
    """A clock that is set once and then counts, whatever happens to the machine's.

    Budgets are differences of journalled times. So a clock that is corrected meanwhile, or that of the next
    driver being behind, must not change how long a session was.

    Args:
        not_before: Unix seconds: what the journal already knows of.
    """
    began, zero = max(time.time(), not_before), time.monotonic()
    return lambda: began + (time.monotonic() - zero)
