"""The journal of one experiment: a header and a log of create-only objects, held by one driver at a time.

Rules (docs/journal-format.md has the bytes):
- An experiment exists if and only if `experiment.json` exists. Fences without it are harmless.
- Opening claims an epoch: the new driver creates a fence at the next free position. The next append of the
  previous driver fails because of that fence, and it stops. No clock and no lock service is involved.
- Appends are strictly sequential, one object each; one whose outcome is unknown can only be repeated.
- Everything read is verified; damage is an error that names the object, never an empty journal.
- A snapshot replaces the entries up to a certain one; reading begins after the newest usable snapshot.
"""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tune_flows.core.errors import CorruptJournalError, ExperimentFenced, InvalidParameter, StorageError
from tune_flows.store._claiming import claim, occupant
from tune_flows.store._reading import read_forward
from tune_flows.store.entries import LOG_PREFIX, Entry, LogCursor, StoredEntry, encode_records, entry_key
from tune_flows.store.header import HEADER_KEY, Header, create_header, read_header
from tune_flows.store.objects import ObjectStore
from tune_flows.store.packs import PACK_ENTRIES, PACK_PREFIX, Packer, create_pack
from tune_flows.store.snapshots import (
    SNAPSHOT_PREFIX,
    Snapshot,
    create_snapshot,
    delete_snapshots,
    newest_snapshot,
)

__all__ = ["Journal"]

_KEPT_SNAPSHOTS = 2
_log = logging.getLogger(__name__)


class Journal:
    """The history of one experiment; created by `Journal.open` or `Journal.read`.

    These survive a restart: the header, every entry whose `append` returned, and the two newest snapshots.
    An entry whose `append` raised StorageError may survive too.
    """

    def __init__(self, store: ObjectStore, header: Header | None, *, whole: bool = False) -> None:
        self._store = store
        self._header = header
        self._chain = LogCursor()
        self._fence_seq: int | None = None
        """Number of the fence with which this driver took over; None: a read-only view."""
        self._snapshot: Snapshot | None = None
        self._looked_for_snapshot = whole
        self._kept_snapshots: list[int] = []
        """Entry numbers of the newest usable snapshots that this driver has read or written."""
        self._replay: list[StoredEntry] | None = None
        self._keeps = False
        self._seen: tuple[LogCursor, list[StoredEntry]] | None = None
        """For a view that keeps what it reads: the position reached in the log, and the entries up to it."""
        self._given: LogCursor | None = None
        """The position that `read_new` has reached."""
        self._lock = threading.Lock()
        self._fenced: str | None = None
        # Encoded records and object bytes of an append whose outcome is unknown.
        self._in_doubt: tuple[bytes, bytes] | None = None
        self._packer = Packer()
        self._to_pack: list[list[StoredEntry]] = []

    @classmethod
    def open(
        cls, store: ObjectStore, *, writer: str, at: float | None = None, seen: "Journal | None" = None
    ) -> "Journal":
        """Take over the experiment: read from the newest snapshot to the end and claim the next epoch.

        Args:
            store: The experiment's objects.
            writer: Name of the driver (host and process), for people who read the log.
            at: Time of the takeover, seconds since 1970; None: now.
            seen: A view made by `read` with `keep`; entries that it has read are not read again.

        Raises:
            ExperimentFenced: Another driver took it over at the same moment. Final.
            CorruptJournalError: An object is missing, torn, foreign or of a newer format. Final.
            StorageError: The storage refused or did not answer.
        """
        journal = cls(store, read_header(store))
        if seen is not None and seen._seen is not None and seen._header == journal._header:
            journal._snapshot, journal._looked_for_snapshot = seen._snapshot, True
            journal._chain, journal._replay = replace(seen._seen[0]), list(seen._seen[1])
        else:
            journal._chain, journal._replay = journal._start(), []
        if journal.snapshot is not None:
            journal._kept_snapshots = [journal.snapshot.seq]
        for entry in read_forward(store, journal._chain):  # damage is found before anything is written
            journal._require_same(entry)
            journal._replay.append(entry)
        journal._replay += claim(store, journal._chain, writer, at, journal._header)
        for entry in journal._replay[-PACK_ENTRIES:]:
            journal._pack_later(entry)
        journal._fence_seq = journal._chain.next_seq - 1
        if journal._header is None:
            journal._header = read_header(store)  # another driver may have created it just before the fence
        return journal

    @classmethod
    def read(cls, store: ObjectStore, *, whole: bool = False, keep: bool = False) -> "Journal":
        """Return a read-only view, which does not take over the experiment; the experiment may be running.

        Args:
            store: The experiment's objects.
            whole: Whether `entries` begins with the very first entry, even if there are snapshots.
            keep: Whether to keep the entries read by `entries`, for `open`.
        """
        journal = cls(store, read_header(store), whole=whole)
        journal._keeps = keep
        return journal

    def discard(self) -> None:
        """Delete the experiment's history and header permanently; it can be opened at every step in between.

        Raises:
            ExperimentFenced: Another driver has taken over; the objects that it has found are kept. Final.
            StorageError: The storage refused or did not answer within the budget; some may be deleted.
        """
        self.require_ownership()
        self._store.delete_prefix(SNAPSHOT_PREFIX)
        self._store.delete_prefix(PACK_PREFIX)
        for seq in range(self._chain.next_seq - 1, 0, -1):
            self._remove(entry_key(seq), seq)
        left = self._store.first_after(LOG_PREFIX, entry_key(0))
        if left is not None:
            raise ExperimentFenced(_taken_while_removed(self._store.url_of(left)))
        self._remove(HEADER_KEY, 0)

    def _remove(self, key: str, seq: int) -> None:
        """Remove entry `seq`, which is the last one, or the header (0) of an empty log.

        A driver that takes over at this moment first creates its fence at the next position, then checks for
        the object (`claim`). This method deletes it, then checks for the fence: one of them sees the other.
        """
        data, following = self._store.get(key), entry_key(seq + 1)
        self._store.delete(key)
        if self._store.get(following) is None:
            return
        if seq == 0 and not occupant(self._store, 1).experiment:
            return  # the fence of a driver that found no experiment under this name
        if data is not None:
            self._store.create(key, data)
        raise ExperimentFenced(_taken_while_removed(self._store.url_of(following)))

    @property
    def header(self) -> dict[str, Any] | None:
        """The content given to the first `create_header`, by any driver; None: there is no experiment yet."""
        return None if self._header is None else self._header.content

    @property
    def epoch(self) -> int:
        """The epoch in which this journal writes; 0 for a view."""
        return self._chain.epoch

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that replaces the entries before those of `entries`; None: `entries` has all of them.

        The newest usable one when this journal was opened; a view searches for it on first access.

        Raises:
            CorruptJournalError: A snapshot is of a newer format, or its entry is missing or damaged. Final.
        """
        if not self._looked_for_snapshot:
            if self._header is not None:
                self._snapshot = newest_snapshot(self._store, self._header)
            self._looked_for_snapshot = True
        return self._snapshot

    def create_header(self, content: dict[str, Any], *, at: float | None = None) -> bool:
        """Create the experiment; return whether its header now has this content.

        False: another driver created it first; `header` is now its content, to be compared as on resume.
        """
        self._require_owned()
        won = create_header(self._store, content, created_at=time.time() if at is None else at)
        self._header = read_header(self._store)
        return won

    def entries(self) -> Iterator[Entry]:
        """Yield every existing entry after `snapshot`, in order, including fences.

        Raises:
            CorruptJournalError: An object is missing, torn, foreign or of a newer format. Final.
        """
        # A driver has just read the log to claim its epoch; the first append releases that copy.
        chain, seen = self._start(), list[StoredEntry]()
        for entry in read_forward(self._store, chain) if self._replay is None else self._replay:
            self._require_same(entry)
            if self._keeps:
                seen.append(entry)
            yield entry.entry()
        if self._keeps:
            self._seen = chain, seen

    def read_new(self, *, up_to: int | None = None) -> Iterator[Entry]:
        """Yield every entry not yet yielded by this method: first those of `entries`, later the new ones.

        An entry counts as yielded once the next is requested; if the caller fails on it, it is yielded again.

        Args:
            up_to: Number of the last entry to yield; None: no limit.

        Raises:
            CorruptJournalError: As for `entries`.
        """
        self._given = self._given or self._start()
        chain = replace(self._given)
        for entry in read_forward(self._store, chain):
            self._require_same(entry)
            if up_to is not None and entry.seq > up_to:
                return
            yield entry.entry()
            self._given = replace(chain)

    def append(self, records: list[dict[str, Any]], *, at: float) -> int:
        """Commit the records as one entry; return its number once it is durable.

        After a StorageError the outcome is unknown: append the same records again; they are committed once.

        Args:
            records: JSON values only; the caller must encode NaN and infinity.
            at: Time of the commit, seconds since 1970.

        Raises:
            ExperimentFenced: Another driver has taken over. Final.
            StorageError: The storage refused or did not answer within the budget, or the records differ from
                those of an earlier append with unknown outcome.
            CorruptJournalError: The next position holds an unexpected object. Final.
            ValueError: A record is not strict JSON; nothing was written.
        """
        with self._lock:
            self._require_owned()
            if self._fenced is not None:
                raise ExperimentFenced(self._fenced)
            header = self._require_header()
            body = encode_records(records)
            seq = self._chain.next_seq
            entry = self._data_entry(at, len(records), body, header)
            if self._in_doubt is None:
                self._in_doubt = body, entry.encode()
            elif self._in_doubt[0] != body:
                raise StorageError(
                    f"{self._store.url_of(entry_key(seq))}: an append that failed before may have arrived; "
                    "append the same records again."
                )
            if not self._store.create(entry_key(seq), self._in_doubt[1]):
                self._raise_fenced(seq)
            self._in_doubt = self._replay = None
            self._chain.accept(entry, where=entry_key(seq))
            self._pack_later(entry)
            return seq

    @property
    def can_pack(self) -> bool:
        """Whether there are full blocks for `write_packs` to write."""
        return bool(self._to_pack)

    def write_packs(self) -> None:
        """Store full blocks of entries also as packs, for fast reading. May run concurrently with `append`.

        Raises:
            StorageError: The storage refused or did not answer within the budget; the journal stays intact.
        """
        blocks, self._to_pack = self._to_pack, []
        for block in blocks:
            create_pack(self._store, block)

    def require_ownership(self) -> None:
        """Check that no other driver has taken over since the last append; costs one read.

        Raises:
            ExperimentFenced: Another driver has taken over. Final.
            StorageError: The storage refused or did not answer within the budget.
        """
        with self._lock:
            self._require_owned()
            seq = self._chain.next_seq
            if self._in_doubt is None and self._store.get(entry_key(seq)) is not None:
                self._raise_fenced(seq)

    def write_snapshot(self, content: dict[str, Any], *, seq: int, at: float | None = None) -> None:
        """Store the state after entry `seq` as a snapshot. May run concurrently with `append`.

        Once it is durable, all but the two newest snapshots are deleted; failures of that are only logged.

        Args:
            content: The state: JSON values only, which must not change meanwhile.
            seq: A number that `append` returned to this driver, or the number of its fence.
            at: Time of writing, seconds since 1970; None: now.

        Raises:
            ExperimentFenced: An append has found that another driver has taken over. Final.
            StorageError: The storage refused or did not answer within the budget.
            InvalidParameter: Entry `seq` is not one of this driver's entries. Final.
            ValueError: The content is not strict JSON; nothing was written.
        """
        first = self._require_owned()
        if self._fenced is not None:
            raise ExperimentFenced(self._fenced)
        header = self._require_header()
        if not first <= seq < self._chain.next_seq:
            raise InvalidParameter.of(
                "seq", seq, f"an entry of this driver: {first} to {self._chain.next_seq - 1}"
            )
        written_at = time.time() if at is None else at
        snapshot = Snapshot(seq, self._chain.epoch, self._chain.writer, written_at, content)
        if create_snapshot(self._store, snapshot, header):
            self._kept_snapshots = sorted({*self._kept_snapshots, seq})[-_KEPT_SNAPSHOTS:]
            self._delete_old_snapshots()

    def _delete_old_snapshots(self) -> None:
        if len(self._kept_snapshots) < _KEPT_SNAPSHOTS:
            return
        try:
            delete_snapshots(self._store, before=self._kept_snapshots[0])
        except StorageError as error:
            _log.warning("old snapshots stay for now: %s", error)

    def _pack_later(self, entry: StoredEntry) -> None:
        if self._store.read_width > 1 and (block := self._packer.add(entry)):
            self._to_pack.append(block)

    def _start(self) -> LogCursor:
        return LogCursor() if self.snapshot is None else self.snapshot.chain(self._require_header())

    def _data_entry(self, at: float, count: int, body: bytes, header: Header) -> StoredEntry:
        chain = self._chain
        tie = "" if chain.experiment else header.sha256
        return StoredEntry(chain.next_seq, chain.epoch, "data", at, chain.writer, count, body, tie)

    def _raise_fenced(self, seq: int) -> None:
        where = self._store.url_of(entry_key(seq))
        other = occupant(self._store, seq)
        if other.kind != "fence" or other.epoch <= self._chain.epoch:
            raise CorruptJournalError(
                f"{where}: got {other.kind} of epoch {other.epoch} by {other.writer!r}, expected no "
                f"entry yet in epoch {self._chain.epoch}: it belongs to another log."
            )
        self._fenced = (
            f"{where}: {other.writer} has taken this experiment over (epoch {other.epoch}, this driver "
            f"has {self._chain.epoch}). Only one may run it; this one stops. What it committed is kept."
        )
        raise ExperimentFenced(self._fenced)

    def _require_owned(self) -> int:
        if self._fence_seq is None:
            raise StorageError(f"{self._store.url}: opened with Journal.read; use Journal.open to write.")
        return self._fence_seq

    def _require_header(self) -> Header:
        if self._header is None:
            self._header = read_header(self._store)
        if self._header is None:
            raise CorruptJournalError(
                f"{self._store.url_of(HEADER_KEY)}: the object is missing, and the log means nothing without "
                "it. Restore it from a backup, or start anew under another name."
            )
        return self._header

    def _require_same(self, entry: StoredEntry) -> None:
        """Reject an entry that was written under another header."""
        if entry.kind == "fence" and not entry.experiment:
            return  # the driver found no experiment yet
        header = self._require_header()
        if entry.experiment not in ("", header.sha256):
            raise CorruptJournalError(
                f"{self._store.url_of(entry_key(entry.seq))}: made under a header with sha256 "
                f"{entry.experiment}, and {HEADER_KEY} has {header.sha256}: one of them belongs to another "
                "experiment. Restore it from a backup, or start anew under another name."
            )


def _taken_while_removed(where: str) -> str:
    return (
        f"{where}: another driver has taken this experiment over while this one removed it; the rest stays."
    )
