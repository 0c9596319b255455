"""The objective of the tuning: the metric, its direction, and the treatment of unusable values."""

import math
from dataclasses import dataclass
from typing import Literal

from tune_flows.core.trial import Result

__all__ = ["Mode", "Objective"]

Mode = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Objective:
    """Converts a result to a score where larger is better, so that policies can ignore the direction."""

    metric: str | None
    """Name of the reported metric (nested names joined by `/`); None if trials are not compared."""
    mode: Mode = "max"

    def score(self, result: Result | None) -> float:
        """Return the metric, negated for mode "min"; NaN if it is missing or not a number.

        NaN and the worst possible infinity never win. The best possible infinity is just as suspect and
        becomes NaN too.
        """
        value = result.value(self.metric) if result is not None and self.metric is not None else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return math.nan
        try:
            score = float(value) if self.mode == "max" else -float(value)
        except OverflowError:  # an integer too large for a float
            return math.nan
        return math.nan if score == math.inf else score

    def value(self, score: float) -> float:
        """Return the value of the metric that has the score `score`."""
        return score if self.mode == "max" else -score
