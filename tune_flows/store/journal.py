"""The journal of one experiment: a header and a log of create-only objects, held by one driver at a time.

Rules (docs/journal-format.md has the bytes):
- An experiment exists if and only if `experiment.json` exists. Fences without it are harmless.
- Opening claims an epoch: the new driver creates a fence in the next free place. The driver before it loses
  its next append to that fence and stops. No clock and no lock service takes part.
- Appends are strictly sequential, one object each; one whose outcome is unknown can only be repeated.
- What was read is proven whole; anything else is an error that names the object, never an empty journal.
- A snapshot stands for the entries up to one of them; reading begins after the newest that is usable.
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
    """The history of one experiment; made by `Journal.open` or `Journal.read`.

    What survives a restart: the header, every entry whose `append` returned, and the two newest snapshots.
    What raised StorageError may have survived too.
    """

    def __init__(self, store: ObjectStore, header: Header | None, *, whole: bool = False) -> None:
        self._store = store
        self._header = header
        self._chain = LogCursor()
        self._fence_seq: int | None = None
        """Number of the fence with which this driver took over; None: a view."""
        self._snapshot: Snapshot | None = None
        self._looked_for_snapshot = whole
        self._kept_snapshots: list[int] = []
        """Numbers of the newest usable ones, as far as this driver has read or written them."""
        self._replay: list[StoredEntry] | None = None
        self._keeps = False
        self._seen: tuple[LogCursor, list[StoredEntry]] | None = None
        """Of a view that keeps what it reads: where the log had got to, and the entries up to there."""
        self._given: LogCursor | None = None
        """How far `read_new` has got."""
        self._lock = threading.Lock()
        self._fenced: str | None = None
        # Records and object of an append that may have arrived.
        self._in_doubt: tuple[bytes, bytes] | None = None
        self._packer = Packer()
        self._to_pack: list[list[StoredEntry]] = []

    @classmethod
    def open(
        cls, store: ObjectStore, *, writer: str, at: float | None = None, seen: "Journal | None" = None
    ) -> "Journal":
        """Take the experiment over: read from the newest snapshot to the end and claim the next epoch.

        Args:
            store: The experiment's objects.
            writer: Who opens it (host and process), for people who read the log.
            at: Time of the takeover, seconds since 1970; None: now.
            seen: A view that keeps entries (`read`): what it has read is not read again.

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
            journal._header = read_header(store)  # another driver may have begun it just before the fence
        return journal

    @classmethod
    def read(cls, store: ObjectStore, *, whole: bool = False, keep: bool = False) -> "Journal":
        """A view that takes nothing over and writes nothing; the experiment may be running.

        Args:
            store: The experiment's objects.
            whole: Whether `entries` begins with the very first one, whatever snapshots there are.
            keep: Whether what `entries` reads is kept, for `open`.
        """
        journal = cls(store, read_header(store), whole=whole)
        journal._keeps = keep
        return journal

    def discard(self) -> None:
        """Remove this driver's history for good, in an order in which each part that is left can be opened.

        Raises:
            ExperimentFenced: Another driver has taken it over; what that one has found stays. Final.
            StorageError: The storage refused or did not answer within the budget; some may be removed.
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

        Who takes over at this moment first makes its fence in the next place, then looks for the object
        (`claim`). This looks for the fence when the object is gone: one of the two learns of the other.
        """
        data, following = self._store.get(key), entry_key(seq + 1)
        self._store.delete(key)
        if self._store.get(following) is None:
            return
        if seq == 0 and not occupant(self._store, 1).experiment:
            return  # it came when the name was free
        if data is not None:
            self._store.create(key, data)
        raise ExperimentFenced(_taken_while_removed(self._store.url_of(following)))

    @property
    def header(self) -> dict[str, Any] | None:
        """What `create_header` was given, by whoever was first; None: there is no experiment yet."""
        return None if self._header is None else self._header.content

    @property
    def epoch(self) -> int:
        """The epoch this journal writes in; 0 for a view."""
        return self._chain.epoch

    @property
    def snapshot(self) -> Snapshot | None:
        """What stands for the entries before those of `entries`; None: nothing does, they are all there.

        The newest usable one when this journal was opened; a view looks for it when first asked.

        Raises:
            CorruptJournalError: A snapshot is of a newer format, or the log before it was lost. Final.
        """
        if not self._looked_for_snapshot:
            if self._header is not None:
                self._snapshot = newest_snapshot(self._store, self._header)
            self._looked_for_snapshot = True
        return self._snapshot

    def create_header(self, content: dict[str, Any], *, at: float | None = None) -> bool:
        """Begin the experiment. True: it is begun with this content.

        False: another driver began it first; `header` is now that one's content, to be compared as on resume.
        """
        self._require_owned()
        won = create_header(self._store, content, created_at=time.time() if at is None else at)
        self._header = read_header(self._store)
        return won

    def entries(self) -> Iterator[Entry]:
        """Every entry after `snapshot` so far, in order, fences included.

        Raises:
            CorruptJournalError: An object is missing, torn, foreign or of a newer format. Final.
        """
        # A driver has just read the log to claim its epoch; the first append lets go of that copy.
        chain, seen = self._start(), list[StoredEntry]()
        for entry in read_forward(self._store, chain) if self._replay is None else self._replay:
            self._require_same(entry)
            if self._keeps:
                seen.append(entry)
            yield entry.entry()
        if self._keeps:
            self._seen = chain, seen

    def read_new(self, *, up_to: int | None = None) -> Iterator[Entry]:
        """Every entry that this has not given yet: at first those of `entries`, later what has come since.

        One counts as given when the next is asked for: what its reader could not take comes again.

        Args:
            up_to: Number of the last entry; None: all there are.

        Raises:
            CorruptJournalError: As `entries`.
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
        """Commit the records as one entry; its number, once it is durable.

        After a StorageError the outcome is unknown: append the same records again, which commits them once.

        Args:
            records: JSON values only; NaN and infinity are encoded before.
            at: Time of the commit, seconds since 1970.

        Raises:
            ExperimentFenced: Another driver has taken over. Final.
            StorageError: The storage refused or did not answer within the budget, or these are other records
                than those whose append is in doubt.
            CorruptJournalError: Something else lies in the next place. Final.
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
        """Whether `write_packs` has something to write."""
        return bool(self._to_pack)

    def write_packs(self) -> None:
        """Store full blocks of entries as packs too, for quick reading. May run beside `append`.

        Raises:
            StorageError: The storage refused or did not answer within the budget; the journal does without.
        """
        blocks, self._to_pack = self._to_pack, []
        for block in blocks:
            create_pack(self._store, block)

    def require_ownership(self) -> None:
        """Make sure that nobody has taken over since the last append; one read.

        Raises:
            ExperimentFenced: Another driver has. Final.
            StorageError: The storage refused or did not answer within the budget.
        """
        with self._lock:
            self._require_owned()
            seq = self._chain.next_seq
            if self._in_doubt is None and self._store.get(entry_key(seq)) is not None:
                self._raise_fenced(seq)

    def write_snapshot(self, content: dict[str, Any], *, seq: int, at: float | None = None) -> None:
        """Store what everything up to and including entry `seq` stands for. May run beside `append`.

        Once it is durable, all but the two newest snapshots are deleted; that this fails is only logged.

        Args:
            content: JSON values only, which must not change meanwhile.
            seq: What `append` returned to this driver, or the number of its fence.
            at: Time of writing, seconds since 1970; None: now.

        Raises:
            ExperimentFenced: Another driver has taken over, as an append found out. Final.
            StorageError: The storage refused or did not answer within the budget.
            InvalidParameter: This driver has no such entry, so that it cannot say whose it is. Final.
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
        """Refuse an entry that was not made under this header."""
        if entry.kind == "fence" and not entry.experiment:
            return  # of a driver that found no experiment yet
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
