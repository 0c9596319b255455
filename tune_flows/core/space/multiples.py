"""The multiples of q within bounds, addressed by whole numbers: index k stands for k * q.

All arithmetic uses exact ratios, so that a value is the float nearest to the intended decimal number (0.3,
not 0.30000000000000004) and never outside the bounds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

__all__ = ["LARGEST_INDEX", "Multiples", "multiples", "share"]

LARGEST_INDEX = 10**12  # above it, floats no longer distinguish k * q from (k + 1) * q reliably
_ROUNDING = Fraction(1, 2**50)


@dataclass(frozen=True, slots=True)
class Multiples:
    """The multiples of `q` from index `first` to index `last`, both included; none when `first` > `last`."""

    q: float
    first: int
    last: int
    lower: float
    upper: float
    _numerator: int  # numerator of q as an exact ratio
    _denominator: int

    @property
    def count(self) -> int:
        """Number of multiples; 0 or less if there are none."""
        return self.last - self.first + 1

    def value(self, index: int) -> float:
        """Return the multiple at `index`, moved into the bounds; an int if q is an int."""
        index = min(max(index, self.first), self.last)
        if isinstance(self.q, int):
            return index * self.q
        return min(max(index * self._numerator / self._denominator, self.lower), self.upper)

    def holds(self, value: float) -> bool:
        """Return whether `value` is one of the multiples; for a float q, up to rounding errors."""
        if isinstance(self.q, int):
            exact = isinstance(value, int) and value % self.q == 0
            return exact and self.first <= value // self.q <= self.last
        scaled = value / self.q
        if not math.isfinite(scaled):
            return False
        index = round(scaled)
        rounding = 1e-9 * self.q + 2**-50 * abs(value)
        return abs(value - index * self.q) <= rounding and self.first <= index <= self.last


@lru_cache(maxsize=4096, typed=True)  # typed: ints and floats are handled differently
def multiples(q: float, lower: float = -math.inf, upper: float = math.inf) -> Multiples:
    """Return the multiples of `q` within [lower, upper].

    Raises:
        OverflowError: A bound is more than `LARGEST_INDEX` multiples of a float q away from 0.
    """
    step = _exact(q)
    first = -LARGEST_INDEX if math.isinf(lower) else _inward(lower, step, math.ceil)
    last = LARGEST_INDEX if math.isinf(upper) else _inward(upper, step, math.floor)
    return Multiples(q, first, last, lower, upper, step.numerator, step.denominator)


def share(u: float, count: int) -> int:
    """Return the index of the one of `count` equal parts of [0, 1) that contains `u`."""
    return min(int(u * count), count - 1)


def _exact(value: float) -> Fraction:
    """Return the decimal number that `value` is displayed as, not the binary one it is stored as."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def _inward(bound: float, step: Fraction, rounded: Callable[[Fraction], int]) -> int:
    scaled = _exact(bound) / step
    if isinstance(bound, int):
        return rounded(scaled)
    if abs(scaled) > LARGEST_INDEX:
        raise OverflowError(f"{bound!r} is more than {LARGEST_INDEX:.0e} multiples away from 0")
    # A q such as 1/3 is already rounded: 1.0 must count as its third multiple despite the rounding error.
    nearest = round(scaled)
    return nearest if abs(scaled - nearest) <= _ROUNDING * abs(scaled) else rounded(scaled)
