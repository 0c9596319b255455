"""Which import paths may be given as strings: a safe front door for deployments that others may run.

Whoever may fill in a run form may name a trainable, and importing a module runs its code. The environment
variable `TUNE_FLOWS_ALLOWED_TRAINABLES`, where the flow runs, restricts every path that a parameter names:
the trainable, the `type` of a policy, the function of a `sample_from`. Objects that are passed in Python are
not restricted, nor is what the author of a flow fixed with `tune.with_trainable`.

The variable holds patterns, separated by commas:

- `*` is any run of characters, `.` and `:` included, `?` one character, `[ab]` one of those (`fnmatch`); case
  matters, spaces around a pattern do not.
- A pattern is held against the whole path in the form `package.module:name`, in whichever form it was given.
- A pattern with a wildcard must also match where the object is defined: `my_pkg.train:*` does not open what
  `my_pkg.train` imports from elsewhere. Name such an object without a wildcard.
- Unset: everything is allowed. Empty: nothing.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase

from tune_flows.core.invalid_value import InvalidValue

__all__ = ["ALLOWED_VARIABLE", "require_allowed", "require_allowed_object", "trusted_paths"]

ALLOWED_VARIABLE = "TUNE_FLOWS_ALLOWED_TRAINABLES"

_trusted: ContextVar[bool] = ContextVar("trusted_paths", default=False)


@contextmanager
def trusted_paths() -> Generator[None]:
    """Inside, every path is allowed: they were written by the author of a flow."""
    token = _trusted.set(True)
    try:
        yield
    finally:
        _trusted.reset(token)


def require_allowed(path: str) -> None:
    """Refuse a path `module:name` before its module is imported.

    Raises:
        Rejected: No pattern matches it.
    """
    patterns = _patterns()
    if patterns is not None and not _matches(path, patterns):
        raise _refusal(path, patterns)


def require_allowed_object(path: str, found: object) -> None:
    """Refuse what stands at an allowed path, when a wildcard let it in and its home is not allowed.

    A value that is neither a function nor a class is at home in the module that has it.

    Raises:
        Rejected: It is defined where no pattern matches.
    """
    patterns = _patterns()
    if patterns is None or path in patterns:
        return
    is_named = hasattr(found, "__qualname__")
    if not is_named and "." not in path.partition(":")[2]:
        return
    named = found if is_named else type(found)
    home = f"{getattr(named, '__module__', None)}:{getattr(named, '__qualname__', '')}"
    if not _matches(home, patterns):
        raise _refusal(path, patterns, f"It is {home}. ")


def _patterns() -> list[str] | None:
    """The patterns; None: everything is allowed."""
    value = os.environ.get(ALLOWED_VARIABLE)
    if value is None or _trusted.get():
        return None
    return [pattern.strip() for pattern in value.split(",") if pattern.strip()]


def _matches(path: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _refusal(path: str, patterns: list[str], why: str = "") -> InvalidValue:
    allowed = ", ".join(patterns) or "nothing"
    return InvalidValue(
        path,
        "an import path that is allowed here",
        f"{why}{ALLOWED_VARIABLE} allows {allowed}. Who runs the flow's process can add a pattern there.",
    )
