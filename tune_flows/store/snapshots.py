"""Snapshots: the state after a log's first entries, so that opening need not read those entries.

Rules:
- A snapshot is a shortcut, never the only copy: the log is kept. One that is damaged or from another log is
  skipped with a warning; an older snapshot, or finally the whole log, is read instead.
- It names its experiment (the header's checksum) and the last entry it covers (number, epoch, writer). It is
  used only if the log contains exactly this entry, and the entries after it must continue the chain.
- Two are kept. An older one is deleted only once two newer ones are durable.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any, cast

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store._gradual import encode_gradually
from tune_flows.store._reading import missing_entry, stored_entry
from tune_flows.store.entries import LogCursor
from tune_flows.store.envelope import NewerFormatError, decode_envelope, decode_json, encode_envelope
from tune_flows.store.header import Header
from tune_flows.store.objects import ObjectStore

__all__ = ["SNAPSHOT_PREFIX", "Snapshot", "create_snapshot", "delete_snapshots", "newest_snapshot"]

SNAPSHOT_PREFIX = "snap"
_KEY = re.compile(rf"{SNAPSHOT_PREFIX}/([0-9]{{12}})\.json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after all log entries up to and including one entry.

    Attributes:
        seq: That entry's number.
        epoch: That entry's epoch.
        writer: That entry's writer, who also wrote the snapshot.
        at: Time of writing, seconds since 1970, by the writer's clock.
        content: The content given to `Journal.write_snapshot`.
    """

    seq: int
    epoch: int
    writer: str
    at: float
    content: dict[str, Any]

    def chain(self, header: Header) -> LogCursor:
        """Return the position after its entry in the log of `header`."""
        return LogCursor(self.seq + 1, self.epoch, self.writer, True, header.sha256)


def create_snapshot(store: ObjectStore, snapshot: Snapshot, header: Header) -> bool:
    """Store the snapshot; return whether a usable snapshot of this entry now exists.

    Raises:
        StorageError: The storage refused or did not answer.
        ValueError: The content is not strict JSON; nothing was written.
    """
    head = {
        "kind": "snapshot",
        "seq": snapshot.seq,
        "epoch": snapshot.epoch,
        "writer": snapshot.writer,
        "at": snapshot.at,
        "experiment": header.sha256,
        "n": 1,
    }
    body = b"%b\n" % encode_gradually(snapshot.content)
    key = _key(snapshot.seq)
    if store.create(key, encode_envelope(head, body, compress=True)):
        return True
    # The key holds an earlier attempt, which is as good as this one if usable, or damaged data.
    return _usable(store, snapshot.seq, header) is not None


def newest_snapshot(store: ObjectStore, header: Header) -> Snapshot | None:
    """Return the newest usable snapshot, or None if there is none.

    Raises:
        CorruptJournalError: A snapshot is undamaged but of a newer format, or the last entry it covers is
            missing or damaged. Final.
    """
    tried: set[int] = set()
    while todo := [seq for seq in _numbers(store) if seq not in tried]:
        for seq in reversed(todo):
            tried.add(seq)
            snapshot = _usable(store, seq, header)
            if snapshot is not None:
                return snapshot
        # A running driver may have replaced all of them meanwhile, so list them again.
    return None


def delete_snapshots(store: ObjectStore, *, before: int) -> None:
    """Delete the snapshots of entries with numbers below `before`."""
    for seq in _numbers(store):
        if seq < before:
            store.delete(_key(seq))


def _key(seq: int) -> str:
    return f"{SNAPSHOT_PREFIX}/{seq:012d}.json"


def _numbers(store: ObjectStore) -> list[int]:
    return [int(found[1]) for key in store.list(SNAPSHOT_PREFIX) if (found := _KEY.fullmatch(key))]


def _usable(store: ObjectStore, seq: int, header: Header) -> Snapshot | None:
    where = store.url_of(_key(seq))
    data = store.get(_key(seq))
    if data is None:  # deleted since it was listed
        return None
    try:
        snapshot = _decode(data, seq, header, where)
    except NewerFormatError:
        raise  # the log contains its writer's fence, which is of that format too
    except CorruptJournalError as error:
        _log.warning("a snapshot cannot be used, an older one or the whole log is read instead: %s", error)
        return None
    entry = stored_entry(store, seq)
    if entry is None:
        raise missing_entry(store, seq, _key(seq))
    if (entry.epoch, entry.writer) != (snapshot.epoch, snapshot.writer):
        _log.warning("%s: it stands after an entry of another log, and is not used.", where)
        return None
    return snapshot


def _decode(data: bytes, seq: int, header: Header, where: str) -> Snapshot:
    head, body = decode_envelope(data, where=where, kind="snapshot")
    epoch, writer, at = (head.get(name) for name in ("epoch", "writer", "at"))
    if head.get("seq") != seq:
        raise CorruptJournalError(f"{where}: got a snapshot of entry {head.get('seq')!r}, expected {seq}.")
    if head.get("experiment") != header.sha256:
        raise CorruptJournalError(f"{where}: it belongs to another experiment.")
    if type(epoch) is not int or not isinstance(writer, str) or not isinstance(at, int | float):
        raise CorruptJournalError(f"{where}: its first line lacks epoch, writer or at.")
    try:
        content = decode_json(body)
    except (ValueError, RecursionError) as error:
        raise CorruptJournalError(f"{where}: its content is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise CorruptJournalError(f"{where}: its content is not a JSON object.")
    return Snapshot(seq, epoch, writer, float(at), cast("dict[str, Any]", content))
