"""What is tuned for: the metric, its direction, and the policy for bad values."""

import math
from dataclasses import dataclass
from typing import Literal

from tune_flows.core.trial import Result

__all__ = ["Mode", "Objective"]

Mode = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Objective:
    """Turns a result into one score, larger is better, so that no policy repeats the direction."""

    metric: str | None
    """Name of the reported metric (nested names joined by `/`); None when nothing is compared."""
    mode: Mode = "max"

    def score(self, result: Result | None) -> float:
        """The metric with its sign turned so that larger is better; NaN when it is missing or not a number.

        NaN and the infinity on the losing side never win; the infinity on the winning side is as
        suspect and counts as NaN too.
        """
        value = result.value(self.metric) if result is not None and self.metric is not None else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return math.nan
        try:
            score = float(value) if self.mode == "max" else -float(value)
        except OverflowError:  # a whole number beyond every float
            return math.nan
        return math.nan if score == math.inf else score

    def value(self, score: float) -> float:
        """The metric's value that gives `score`."""
        return score if self.mode == "max" else -score
