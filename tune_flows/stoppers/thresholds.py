"""Stop criteria that are plain data: `{"training_iteration": 81, "accuracy": 0.95}`.

Evaluated beside the Trainable, after every step, so that a trial ends at exactly the step that meets one.
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
    """Thresholds; a trial ends as soon as one of them is met. Stateless, so nothing is lost with a worker."""

    at_least: tuple[tuple[str, float], ...] = ()
    """(name, threshold): met when the value is equal or above."""
    at_most: tuple[tuple[str, float], ...] = ()
    """(name, threshold): met when the value is equal or below."""

    @classmethod
    def parse(cls, stop: object, *, metric: str | None = None, mode: Mode = "max") -> "StopCriteria":
        """The criteria that the parameter `stop` means.

        Args:
            stop: A mapping from a metric or an automatic field (`training_iteration`, `time_total_s`, ...) to
                its threshold; None or empty: none.
            metric: The metric that is tuned. With mode "min" its threshold is an upper one.
            mode: Its direction.

        Raises:
            InvalidParameter: A name is no string or a threshold is no number.
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
        """Which criterion `result` meets, as in `stop: accuracy >= 0.95`; None for none.

        A value that is missing, NaN or no number meets nothing.
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
