"""Measures how long training iterations take."""

import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["StepClock"]


class StepClock:
    """Measures one iteration after another; the simulated executor replaces it by virtual time.

    Args:
        clock: Returns the Unix time in seconds.
        timer: Returns monotonic seconds from an arbitrary origin.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._timer = timer
        self._began = self._sign = timer()

    @property
    def idle_s(self) -> float:
        """Seconds since an iteration began or ended or `heartbeat` was called; readable from any thread."""
        return self._timer() - self._sign

    def heartbeat(self) -> None:
        """Note that the trial is alive."""
        self._sign = self._timer()

    def start(self) -> None:
        """Begin an iteration."""
        self._began = self._sign = self._timer()

    def lap(self, config: Mapping[str, Any], iteration: int) -> tuple[float, float]:
        """End the iteration and return its time.

        Args:
            config: The trial's configuration.
            iteration: Number of the iteration within the trial, from 1.

        Returns:
            Seconds since `start`, and the current Unix time.
        """
        del config, iteration
        self.heartbeat()
        return self._sign - self._began, self._clock()
