"""The multiples of q within bounds, addressed by whole numbers: index k stands for k * q.

All arithmetic is on exact ratios, so that a value is the float nearest to the decimal number one would write
(0.3, not 0.30000000000000004) and never outside the bounds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

__all__ = ["LARGEST_INDEX", "Multiples", "multiples", "share"]

LARGEST_INDEX = 10**12  # beyond it floats no longer tell k * q from (k + 1) * q reliably
_ROUNDING = Fraction(1, 2**50)


@dataclass(frozen=True, slots=True)
class Multiples:
    """The multiples of `q` from index `first` to index `last`, both included; none when `first` > `last`."""

    q: float
    first: int
    last: int
    lower: float
    upper: float
    _numerator: int  # of q as a ratio
    _denominator: int

    @property
    def count(self) -> int:
        """How many there are, 0 or less when there are none."""
        return self.last - self.first + 1

    def value(self, index: int) -> float:
        """The multiple at `index`, moved into the bounds; an int when q is one."""
        index = min(max(index, self.first), self.last)
        if isinstance(self.q, int):
            return index * self.q
        return min(max(index * self._numerator / self._denominator, self.lower), self.upper)

    def holds(self, value: float) -> bool:
        """Whether the number is one of them, but for rounding."""
        if isinstance(self.q, int):
            exact = isinstance(value, int) and value % self.q == 0
            return exact and self.first <= value // self.q <= self.last
        scaled = value / self.q
        if not math.isfinite(scaled):
            return False
        index = round(scaled)
        rounding = 1e-9 * self.q + 2**-50 * abs(value)
        return abs(value - index * self.q) <= rounding and self.first <= index <= self.last


@lru_cache(maxsize=4096, typed=True)  # typed: whole and real numbers take different paths
def multiples(q: float, lower: float = -math.inf, upper: float = math.inf) -> Multiples:
    """The multiples of `q` within [lower, upper].

    Raises:
        OverflowError: A bound is more than `LARGEST_INDEX` multiples of a float q away from 0.
    """
    step = _exact(q)
    first = -LARGEST_INDEX if math.isinf(lower) else _inward(lower, step, math.ceil)
    last = LARGEST_INDEX if math.isinf(upper) else _inward(upper, step, math.floor)
    return Multiples(q, first, last, lower, upper, step.numerator, step.denominator)


def share(u: float, count: int) -> int:
    """Which of `count` equal parts of [0, 1) holds `u`."""
    return min(int(u * count), count - 1)


def _exact(value: float) -> Fraction:
    """The decimal number that `value` is written as, not the binary one it is stored as."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def _inward(bound: float, step: Fraction, rounded: Callable[[Fraction], int]) -> int:
    scaled = _exact(bound) / step
    if isinstance(bound, int):
        return rounded(scaled)
    if abs(scaled) > LARGEST_INDEX:
        raise OverflowError(f"{bound!r} is more than {LARGEST_INDEX:.0e} multiples away from 0")
    # A q such as 1/3 is already rounded: 1.0 is meant to be its third multiple, not to lie a hair beside it.
    nearest = round(scaled)
    return nearest if abs(scaled - nearest) <= _ROUNDING * abs(scaled) else rounded(scaled)
