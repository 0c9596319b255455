"""Two control files next to the log: the settings of the newest session, and a request to stop it.

Neither is part of the history: the state follows from the log alone, and the files may be missing.

Rules of this module:

- A stop request names the epoch of the driver that it addresses. Other drivers do not look for it, so an
  unanswered request does not stop a later session.
- The driver acknowledges the request by removing it.
"""

import time
from dataclasses import dataclass
from typing import Any, cast

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store.envelope import decode_envelope, encode_envelope
from tune_flows.store.objects import ObjectStore

__all__ = [
    "SESSION_KEY",
    "STOP_PREFIX",
    "Session",
    "read_session",
    "read_stop_request",
    "remove_stop_request",
    "request_stop",
    "write_session",
]

SESSION_KEY = "session.json"
STOP_PREFIX = "stop"


@dataclass(frozen=True, slots=True)
class Session:
    """The settings with which a driver runs the experiment."""

    epoch: int
    """Epoch of the driver that wrote it."""
    writer: str
    """Host and process of that driver."""
    settings: dict[str, Any]
    """JSON values, as passed in by the layer above."""


def write_session(store: ObjectStore, session: Session, *, at: float | None = None) -> None:
    """Write the session file, replacing that of the previous session.

    Args:
        store: The experiment's objects.
        session: The content to write.
        at: Seconds since 1970; None: now.

    Raises:
        StorageError: The storage refused or did not answer.
    """
    head = {"kind": "session", "epoch": session.epoch, "writer": session.writer}
    store.put(SESSION_KEY, encode_envelope({**head, "at": _now(at), "settings": session.settings}))


def read_session(store: ObjectStore) -> Session | None:
    """Return the settings of the newest session, or None if there is no session file.

    Raises:
        CorruptJournalError: The file is torn, foreign or of a newer format. Final.
        StorageError: The storage refused or did not answer.
    """
    data = store.get(SESSION_KEY)
    if data is None:
        return None
    where = store.url_of(SESSION_KEY)
    head, _ = decode_envelope(data, where=where, kind="session")
    epoch, writer, settings = head.get("epoch"), head.get("writer"), head.get("settings")
    if not (isinstance(epoch, int) and isinstance(writer, str) and isinstance(settings, dict)):
        raise CorruptJournalError(f"{where}: its first line lacks epoch, writer or settings.")
    return Session(epoch, writer, cast("dict[str, Any]", settings))


def request_stop(store: ObjectStore, epoch: int, *, who: str, at: float | None = None) -> bool:
    """Ask the driver of `epoch` to end its session gracefully.

    Args:
        store: The experiment's objects.
        epoch: Epoch of the driver.
        who: Who asks, for the driver's log and the journal.
        at: Seconds since 1970; None: now.

    Returns:
        False if an earlier request is still pending.

    Raises:
        StorageError: The storage refused or did not answer.
    """
    head = {"kind": "stop", "epoch": epoch, "by": who, "at": _now(at)}
    return store.create(_stop_key(epoch), encode_envelope(head))


def read_stop_request(store: ObjectStore, epoch: int) -> str | None:
    """Return who asks the driver of `epoch` to end its session, or None if no request is pending.

    Raises:
        CorruptJournalError: The request is torn, foreign or of a newer format. Final.
        StorageError: The storage refused or did not answer.
    """
    data = store.get(_stop_key(epoch))
    if data is None:
        return None
    head, _ = decode_envelope(data, where=store.url_of(_stop_key(epoch)), kind="stop")
    return str(head.get("by") or "somebody")


def remove_stop_request(store: ObjectStore, epoch: int) -> None:
    """Delete the stop request, to acknowledge or withdraw it, if it exists.

    Raises:
        StorageError: The storage refused or did not answer.
    """
    store.delete(_stop_key(epoch))


def _now(at: float | None) -> float:
    return time.time() if at is None else at


def _stop_key(epoch: int) -> str:
    return f"{STOP_PREFIX}/{epoch:012d}.json"
