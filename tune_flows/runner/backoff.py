"""How long a trial that faulted waits before it is tried again.

Delays double with each fault in a row and are spread at random between half and all of that, so that trials
which failed together do not come back together. The random part follows from trial and lease: the same
history gives the same delays.
"""

import random

from tune_flows.core.trial import Trial

__all__ = ["LONGEST_DELAY_S", "Backoff"]

LONGEST_DELAY_S = 60.0


class Backoff:
    """Counts each trial's faults since it last made progress.

    Nothing of it survives the driver: one that takes over starts its trials without delay.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[str, tuple[int, int]] = {}
        """By trial the iteration of its newest fault, and how many there were in a row."""
        self._due: dict[str, int] = {}
        """By trial the lease that faulted and was not followed by another one yet."""

    def note(self, trial: Trial) -> None:
        """The trial's present lease ended with a fault."""
        iteration, count = self._in_a_row.get(trial.trial_id, (trial.iteration, 0))
        self._in_a_row[trial.trial_id] = trial.iteration, count + 1 if iteration == trial.iteration else 1
        self._due[trial.trial_id] = trial.lease

    def delay_s(self, trial: Trial, first_s: float) -> float:
        """Seconds that the trial's next lease, which it holds by now, is to wait; asked once for each.

        Args:
            trial: Just launched.
            first_s: The longest delay after a first fault; 0: no delays at all.
        """
        if self._due.pop(trial.trial_id, None) != trial.lease - 1 or first_s <= 0:
            return 0.0
        _, count = self._in_a_row[trial.trial_id]
        longest = min(first_s * 2.0 ** min(count - 1, 30), LONGEST_DELAY_S)
        return longest * random.Random(f"{trial.trial_id}/{trial.lease}").uniform(0.5, 1.0)
