"""Errors for invalid values whose parameter is not known, and suggestions for misspelled names."""

from collections.abc import Iterable
from difflib import get_close_matches

from tune_flows.core.errors import InvalidParameter

__all__ = ["InvalidValue", "closest"]


class InvalidValue(ValueError):
    """A value is invalid; raised where the parameter's name is not known, as in pydantic validators.

    Args:
        got: The value, or a stand-in whose `repr` is short.
        expected: Description of a valid value.
        hint: What to do about it.
        where: Position inside the parameter, such as `[2]['key']`.
    """

    def __init__(self, got: object, expected: str, hint: str = "", where: str = "") -> None:
        super().__init__(got, expected, hint, where)
        self.got, self.expected, self.hint, self.where = got, expected, hint, where

    def __str__(self) -> str:
        return str(self.for_parameter("")).removeprefix(": ")

    def for_parameter(self, parameter: str) -> InvalidParameter:
        """Return the error to raise to the caller, which names `parameter`."""
        return InvalidParameter.of(f"{parameter}{self.where}", self.got, self.expected, self.hint)


def closest(name: object, known: Iterable[str]) -> str:
    """Return the hint `Did you mean 'x'?`, or an empty string if no known name is similar."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(str(name).lower(), by_lower, n=1)
    return f"Did you mean {by_lower[near[0]]!r}?" if near else ""
