"""How long a training iteration took."""

import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["StepClock"]


class StepClock:
    """Measures one iteration after the other; the simulated executor puts virtual time in its place.

    Args:
        clock: Unix time in seconds.
        timer: Seconds from any origin, never going back.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._timer = timer
        self._began = self._sign = timer()

    @property
    def idle_s(self) -> float:
        """Seconds since an iteration last began or ended, or `heartbeat` was called; from any thread."""
        return self._timer() - self._sign

    def heartbeat(self) -> None:
        """The trial is known to be alive."""
        self._sign = self._timer()

    def start(self) -> None:
        """An iteration begins."""
        self._began = self._sign = self._timer()

    def lap(self, config: Mapping[str, Any], iteration: int) -> tuple[float, float]:
        """The iteration has ended.

        Args:
            config: The trial's configuration.
            iteration: Which iteration of the trial it was, from 1.

        Returns:
            Seconds since `start`, and the Unix time now.
        """
        del config, iteration
        self.heartbeat()
        return self._sign - self._began, self._clock()
