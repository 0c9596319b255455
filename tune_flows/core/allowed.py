"""Allowlist of the import paths that may be given as strings, for deployments that others may run.

Anyone who can fill in a run form can name a trainable, and importing a module runs its code. The environment
variable `TUNE_FLOWS_ALLOWED_TRAINABLES` of the flow's process restricts every path that a parameter names:
the trainable, the `type` of a policy, the function of a `sample_from`. Objects passed in Python and paths
that the author of a flow fixed with `tune.with_trainable` are not restricted.

The variable holds patterns, separated by commas:

- `*` matches any number of characters, including `.` and `:`; `?` matches one character, `[ab]` one of those
  listed (`fnmatch`). Patterns are case-sensitive; spaces around them are ignored.
- A pattern must match the whole path, which is first converted to the form `package.module:name`.
- A pattern with a wildcard must also match where the object is defined: `my_pkg.train:*` does not allow what
  `my_pkg.train` imports from elsewhere. To allow such an object, name it without a wildcard.
- If the variable is unset, everything is allowed; if it is empty, nothing is.
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
    """Allow every path within this context, for paths that the author of a flow wrote."""
    token = _trusted.set(True)
    try:
        yield
    finally:
        _trusted.reset(token)


def require_allowed(path: str) -> None:
    """Reject a path `module:name` that is not allowed, before its module is imported.

    Raises:
        InvalidValue: No pattern matches the path.
    """
    patterns = _patterns()
    if patterns is not None and not _matches(path, patterns):
        raise _refusal(path, patterns)


def require_allowed_object(path: str, found: object) -> None:
    """Reject an object that only a wildcard allows and that is defined where no pattern allows it.

    A module's attribute that is neither a function nor a class counts as defined in that module.

    Raises:
        InvalidValue: No pattern matches the place of definition.
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
    """Return the patterns; None: everything is allowed."""
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
