"""Exponential backoff: how long a trial that faulted waits before it is retried.

The longest delay doubles with each consecutive fault, up to `LONGEST_DELAY_S`; the actual one is a random 50
to 100 % of it, so that trials which failed together are not retried together. The random number is seeded
with trial and lease, so the same history gives the same delays.
"""

import random

from tune_flows.core.trial import Trial

__all__ = ["LONGEST_DELAY_S", "Backoff"]

LONGEST_DELAY_S = 60.0


class Backoff:
    """Counts each trial's faults since it last made progress.

    The counts are kept in memory only: after a resume, the new driver launches its trials without delay.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[str, tuple[int, int]] = {}
        """For each trial, the iteration of its newest fault and the number of consecutive faults there."""
        self._due: dict[str, int] = {}
        """For each trial, the lease that faulted, until the next lease has received its delay."""

    def note(self, trial: Trial) -> None:
        """Record that the trial's current lease ended with a fault."""
        iteration, count = self._in_a_row.get(trial.trial_id, (trial.iteration, 0))
        self._in_a_row[trial.trial_id] = trial.iteration, count + 1 if iteration == trial.iteration else 1
        self._due[trial.trial_id] = trial.lease

    def delay_s(self, trial: Trial, first_s: float) -> float:
        """Return the delay in seconds of the trial's new lease; to be called once for each lease.

        Args:
            trial: Just launched, already with the new lease.
            first_s: The longest delay after a first fault; 0: no delays.
        """
        if self._due.pop(trial.trial_id, None) != trial.lease - 1 or first_s <= 0:
            return 0.0
        _, count = self._in_a_row[trial.trial_id]
        longest = min(first_s * 2.0 ** min(count - 1, 30), LONGEST_DELAY_S)
        return longest * random.Random(f"{trial.trial_id}/{trial.lease}").uniform(0.5, 1.0)
