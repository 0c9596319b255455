"""Stop criteria as thresholds: `{"training_iteration": 81, "accuracy": 0.95}`.

Evaluated in the worker after every step, so that a trial ends exactly at the step that meets a criterion.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Mode
from tune_flows.core.trial import Result

__all__ = ["StopCriteria"]

_EXPECTED = 'a mapping from metric to number, such as {"training_iteration": 81}'


@dataclass(frozen=True, slots=True)
class StopCriteria:
    """Thresholds; a trial ends as soon as it meets one. Stateless, so losing a worker loses nothing."""

    at_least: tuple[tuple[str, float], ...] = ()
    """(name, threshold): met when the value is equal or above."""
    at_most: tuple[tuple[str, float], ...] = ()
    """(name, threshold): met when the value is equal or below."""

    @classmethod
    def parse(cls, stop: object, *, metric: str | None = None, mode: Mode = "max") -> "StopCriteria":
        """Return the criteria that the parameter `stop` describes.

        Args:
            stop: A mapping from a metric or an automatic field (`training_iteration`, `time_total_s`, ...) to
                its threshold; None or empty: no criteria.
            metric: The metric to optimize. With mode "min", it must be at or below its threshold.
            mode: Direction of `metric`.

        Raises:
            InvalidParameter: A name is not a string, or a threshold is not a valid number.
        """
        if stop is None or isinstance(stop, StopCriteria):
            return stop or cls()
        if not isinstance(stop, Mapping):
            raise InvalidParameter.of("stop", stop, _EXPECTED)
        at_least: list[tuple[str, float]] = []
        at_most: list[tuple[str, float]] = []
        for name, threshold in stop.items():  # pyright: ignore[reportUnknownVariableType]
            if not isinstance(name, str) or not name:
                raise InvalidParameter.of("stop", stop, _EXPECTED)  # pyright: ignore[reportUnknownArgumentType]
            downwards = name == metric and mode == "min"
            (at_most if downwards else at_least).append((name, _threshold(name, threshold)))  # pyright: ignore[reportUnknownArgumentType]
        return cls(tuple(at_least), tuple(at_most))

    def reason(self, result: Result) -> str | None:
        """Return the criterion that `result` meets, such as `stop: accuracy >= 0.95`; None if it meets none.

        A value that is missing, NaN or not a number meets no criterion.
        """
        for name, threshold in self.at_least:
            value = result.iteration if name == "training_iteration" else result.value(name)
            if isinstance(value, int | float) and value >= threshold:
                return f"stop: {name} >= {threshold:.10g}"
        for name, threshold in self.at_most:
            value = result.value(name)
            if isinstance(value, int | float) and value <= threshold:
                return f"stop: {name} <= {threshold:.10g}"
        return None


def _threshold(name: str, threshold: object) -> float:
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or math.isnan(threshold):
        raise InvalidParameter.of(f"stop[{name!r}]", threshold, "a number")
    if name == "training_iteration" and threshold < 1:
        raise InvalidParameter.of(f"stop[{name!r}]", threshold, "a number of iterations, 1 or more")
    return threshold
