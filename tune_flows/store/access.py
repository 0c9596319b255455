"""Access options of a storage in addition to its URL: file system options, which may hold secrets.

Rules of this module:

- The options never appear in a repr, an error, a log line or a traceback that prints local variables.
- Only pickles contain them, on the way from the driver to its workers. Stored objects and data sent to
  Prefect contain the name of the block instead.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import quote

from tune_flows.core.errors import StorageError

__all__ = ["ENVIRONMENT", "StorageAccess"]

T = TypeVar("T")
_MASK = "********"
_NO_SECRETS = frozenset({"endpoint_url", "region_name", "key", "aws_access_key_id"})
_SHORTEST_SECRET = 6
"""Shorter values are not masked: removing "true" from every message would make errors unreadable."""
_TELLTALES = ("botocore.auth", "botocore.endpoint")
"""Loggers that write whole requests at DEBUG level, including the session token."""


class StorageAccess:
    """Options of the fsspec file system at a URL, and the block from which other processes load them.

    Args:
        options: `key`, `secret`, `endpoint_url`, ...; None or empty: the settings of the environment.
        block: Name of the ExperimentStorage block that holds them; None: other processes cannot load them.
    """

    __slots__ = ("_options", "_secrets", "block")

    def __init__(self, options: Mapping[str, Any] | None = None, *, block: str | None = None) -> None:
        self._options = dict(options or {})
        self._secrets = frozenset(_secrets_in(self._options))
        self.block = block

    @property
    def options(self) -> dict[str, Any]:
        """A copy of the options for the file system only; must never be logged, stored or shown."""
        return dict(self._options)

    @property
    def is_default(self) -> bool:
        """Whether there are no options, so that only the settings of the environment apply."""
        return not self._options

    def __str__(self) -> str:
        """Return the part that messages may show after the URL: the endpoint and the block."""
        endpoint = self._options.get("endpoint_url")
        parts = [f"endpoint {endpoint}" if endpoint else "", f"block {self.block!r}" if self.block else ""]
        about = ", ".join(part for part in parts if part)
        return f" ({about})" if about else ""

    def __repr__(self) -> str:
        return f"StorageAccess({str(self).strip(' ()')})"

    def guard(self, operation: Callable[[], T]) -> T:
        """Run the operation and return its result, keeping secrets out of its errors.

        The local variables in the traceback frames of an error are cleared, because client libraries keep
        credentials and signed requests there. An error whose text or notes contain a secret is replaced by
        a StorageError, which is final.
        """
        try:
            return operation()
        except Exception as error:
            replacement = self._replacement(error)
            if replacement is None:
                raise
        raise replacement  # outside `except`, so that the original error does not become its context

    def _replacement(self, error: Exception) -> StorageError | None:
        """Return an error to raise instead if one in the chain contains a secret, else None."""
        chain = list(_chain(error))
        for one in chain:
            traceback.clear_frames(one.__traceback__)
        if any(secret in text for text in map(_told, chain) for secret in self._secrets):
            return StorageError(_masked(f"{type(error).__name__}: {error}", self._secrets))
        return None

    def hide_in_logs(self) -> None:
        """Mask the secrets of these options in the logs of client libraries, at every level."""
        if self._secrets:
            _masking.secrets |= self._secrets
            for name in _TELLTALES:
                logging.getLogger(name).addFilter(_masking)


class _Masking(logging.Filter):
    """A log filter that masks the secrets that this process uses."""

    secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in the record and keep it."""
        record.msg, record.args = _masked(record.getMessage(), self.secrets), None
        return True


_masking = _Masking()


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # a secret may be part of a longer one
        text = text.replace(secret, _MASK)
    return text


def _secrets_in(value: object, name: str = "") -> Iterator[str]:
    """Yield every text in the options except known non-secrets, also as quoted in URLs and reprs."""
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield from _secrets_in(item, key)
    elif isinstance(value, list | tuple):
        for item in cast("list[object]", value):
            yield from _secrets_in(item, name)
    elif isinstance(value, str) and name not in _NO_SECRETS and len(value) >= _SHORTEST_SECRET:
        yield from {value, quote(value), quote(value, safe=""), repr(value)[1:-1]}


def _told(error: BaseException) -> str:
    """Return the texts that a traceback shows of the error: message, arguments and notes."""
    notes: object = getattr(error, "__notes__", ())
    return f"{error}{error.args}{notes}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all its causes and contexts."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [before for before in (one.__cause__, one.__context__) if before is not None]


ENVIRONMENT = StorageAccess()
"""Environment settings: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, an instance's role, ..."""
