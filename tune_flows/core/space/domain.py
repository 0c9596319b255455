"""Base classes of the entries of a search space, and the number types of their fields."""

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, JsonValue, model_validator

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.json_values import plain_scalar
from tune_flows.core.schema import InvalidValue
from tune_flows.core.space.multiples import LARGEST_INDEX, Multiples, multiples

__all__ = [
    "Domain",
    "Interval",
    "PositiveReal",
    "PositiveWhole",
    "QInterval",
    "Real",
    "SpaceEntry",
    "Whole",
    "as_number",
]

_LARGEST_EXACT = 2**53  # ints up to here are exact as floats and in every JSON parser

_LARGEST_FLOAT = float(np.finfo(float).max)


def _plain_number(value: object) -> object:
    value = plain_scalar(value)
    if isinstance(value, bool):
        raise InvalidValue(value, "a number")
    return value


# The bounds precede the validator: after it they would be missing from the JSON schema.
Real = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_plain_number)]
PositiveReal = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_plain_number)]
Whole = Annotated[int, Field(ge=-_LARGEST_EXACT, le=_LARGEST_EXACT), BeforeValidator(_plain_number)]
PositiveWhole = Annotated[int, Field(ge=1, le=_LARGEST_EXACT), BeforeValidator(_plain_number)]


class SpaceEntry(BaseModel, ABC, frozen=True, extra="forbid"):
    """An entry of a search space that is not a constant; immutable and compared by value."""

    type: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the JSON form, such as `{"type": "uniform", "lower": 0.0, "upper": 1.0}`."""
        return self.model_dump(mode="json")

    def __repr__(self) -> str:
        values = self.model_dump(exclude={"type"}).values()
        return f"{self.type}({', '.join(map(repr, values))})"

    def __str__(self) -> str:
        return repr(self)


class Domain(SpaceEntry, frozen=True):
    """A set of values with a distribution over it.

    Everything is based on the inverse of the cumulative distribution: a sample is `quantile` of one uniform
    draw, so a sample from any domain uses exactly one draw of the generator.
    """

    def sample(self, rng: np.random.Generator) -> Any:  # noqa: ANN401 - any JSON value
        """Return a random value of this domain."""
        return self._at(rng.random())

    def quantile(self, u: float) -> Any:  # noqa: ANN401 - any JSON value
        """Return the inverse cumulative distribution at `u` in [0, 1]; it does not decrease as `u` grows.

        For a `choice`: the categories in their order, each with the same share of [0, 1).

        Raises:
            InvalidParameter: `u` is outside [0, 1].
        """
        if not 0 <= u <= 1:
            raise InvalidParameter.of("quantile(u=…)", u, "a number from 0 to 1")
        return self._at(u)

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Return whether `value` is in this domain; 3.0 does not count as an int, such as a layer count."""

    @abstractmethod
    def _at(self, u: float) -> Any:  # noqa: ANN401 - any JSON value
        """Return `quantile(u)` without checking `u`."""


class Interval(Domain, frozen=True):
    """A domain from `lower` to below `upper`."""

    lower: float
    upper: float

    def contains(self, value: object) -> bool:
        """Return whether `value` is within the bounds; `upper` itself counts only in a domain of floats."""
        number = as_number(value)
        if isinstance(self.lower, int):
            return isinstance(number, int) and self.lower <= number < self.upper
        return self.lower <= number <= self.upper

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.lower >= self.upper:
            raise InvalidValue(
                self, "lower < upper", "For a single value write that value, without a domain."
            )
        if math.isinf(self.upper - self.lower):
            raise InvalidValue(self, "bounds whose difference is a finite float")
        return self


class QInterval(Domain, frozen=True):
    """The multiples of `q` from `lower` to `upper`, both included."""

    lower: float
    upper: float
    q: float

    def contains(self, value: object) -> bool:
        """Return whether `value` is one of these multiples, up to rounding errors."""
        return self._multiples.holds(as_number(value))

    @model_validator(mode="after")
    def _holds_a_multiple(self) -> Self:
        if self.lower > self.upper:
            raise InvalidValue(self, "lower <= upper")
        try:
            count = self._multiples.count
        except OverflowError as error:
            smallest = max(abs(self.lower), abs(self.upper)) / LARGEST_INDEX
            raise InvalidValue(self, f"a q of at least {smallest:.2g} for these bounds") from error
        if count < 1:
            raise InvalidValue(self, "a multiple of q between lower and upper")
        return self

    @property
    def _multiples(self) -> Multiples:
        return multiples(self.q, self.lower, self.upper)


def as_number(value: object) -> float:
    """Return `value` if it is a finite number (also from numpy, but not a bool), else NaN."""
    value = plain_scalar(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return value if -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT else math.nan
