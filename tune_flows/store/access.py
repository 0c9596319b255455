"""How a storage is reached, beside its URL: options of its file system, which may hold secrets.

Rules of this module:

- Nothing shows the options: no repr, no error, no log line, no traceback that prints local variables.
- Only a pickle carries them, from the driver to its workers. What is stored, and what Prefect is told, holds
  the name of the block that they come from.
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
"""Shorter values stay in messages: taking "true" out of every text would hide what went wrong."""
_TELLTALES = ("botocore.auth", "botocore.endpoint")
"""Loggers that write whole requests at DEBUG, with the session token."""


class StorageAccess:
    """Options of the fsspec file system at a URL, and where another process finds them again.

    Args:
        options: `key`, `secret`, `endpoint_url`, ...; none: what the environment says.
        block: Name of the ExperimentStorage block that holds them; None: no other process finds them.
    """

    __slots__ = ("_options", "_secrets", "block")

    def __init__(self, options: Mapping[str, Any] | None = None, *, block: str | None = None) -> None:
        self._options = dict(options or {})
        self._secrets = frozenset(_secrets_in(self._options))
        self.block = block

    @property
    def options(self) -> dict[str, Any]:
        """For the file system alone: never to be logged, stored or shown."""
        return dict(self._options)

    @property
    def is_default(self) -> bool:
        """Whether there is nothing but what the environment says."""
        return not self._options

    def __str__(self) -> str:
        """What messages may say, to stand after the URL: the endpoint and the block."""
        endpoint = self._options.get("endpoint_url")
        parts = [f"endpoint {endpoint}" if endpoint else "", f"block {self.block!r}" if self.block else ""]
        about = ", ".join(part for part in parts if part)
        return f" ({about})" if about else ""

    def __repr__(self) -> str:
        return f"StorageAccess({str(self).strip(' ()')})"

    def guard(self, operation: Callable[[], T]) -> T:
        """What the operation returns.

        What it raises no longer has the local variables of the frames below, where client libraries keep
        credentials and signed requests. An error whose text or notes hold a secret is replaced, which makes
        it final.
        """
        try:
            return operation()
        except Exception as error:
            replacement = self._replacement(error)
            if replacement is None:
                raise
        raise replacement  # out here: it must not have the error as its context

    def _replacement(self, error: Exception) -> StorageError | None:
        """An error to raise instead, where one of the chain tells a secret."""
        chain = list(_chain(error))
        for one in chain:
            traceback.clear_frames(one.__traceback__)
        if any(secret in text for text in map(_told, chain) for secret in self._secrets):
            return StorageError(_masked(f"{type(error).__name__}: {error}", self._secrets))
        return None

    def hide_in_logs(self) -> None:
        """From now on, client libraries log no secret of these options, at whatever level."""
        if self._secrets:
            _masking.secrets |= self._secrets
            for name in _TELLTALES:
                logging.getLogger(name).addFilter(_masking)


class _Masking(logging.Filter):
    """Takes the secrets that this process uses out of what is logged."""

    secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        """As `logging` asks for it."""
        record.msg, record.args = _masked(record.getMessage(), self.secrets), None
        return True


_masking = _Masking()


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, _MASK)
    return text


def _secrets_in(value: object, name: str = "") -> Iterator[str]:
    """Every text in the options but those that are known to be none; also as URLs and reprs have it."""
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield from _secrets_in(item, key)
    elif isinstance(value, list | tuple):
        for item in cast("list[object]", value):
            yield from _secrets_in(item, name)
    elif isinstance(value, str) and name not in _NO_SECRETS and len(value) >= _SHORTEST_SECRET:
        yield from {value, quote(value), quote(value, safe=""), repr(value)[1:-1]}


def _told(error: BaseException) -> str:
    """What a traceback shows of the error itself."""
    notes: object = getattr(error, "__notes__", ())
    return f"{error}{error.args}{notes}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [before for before in (one.__cause__, one.__context__) if before is not None]


ENVIRONMENT = StorageAccess()
"""As the environment says: `AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, an instance's role, ..."""
