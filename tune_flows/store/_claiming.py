"""Take over a log by writing a fence of the next epoch at the next free position."""

import time
from uuid import uuid4

from tune_flows.core.errors import CorruptJournalError, ExperimentFenced, StorageError
from tune_flows.store._reading import stored_entry
from tune_flows.store.entries import LogCursor, StoredEntry, entry_key
from tune_flows.store.header import HEADER_KEY, Header
from tune_flows.store.objects import ObjectStore

__all__ = ["claim", "occupant"]


def claim(
    store: ObjectStore, chain: LogCursor, writer: str, at: float | None, header: Header | None
) -> list[StoredEntry]:
    """Create the fence of the next epoch at the first free position; return the new entries up to the fence.

    Raises:
        ExperimentFenced: Another driver claimed the log at the same moment and was faster. Final.
        CorruptJournalError: The entry found at the position does not continue the chain. Final.
        StorageError: The previous driver is removing the experiment; a retry finds it gone.
    """
    tie = "" if header is None else header.sha256
    # The random part makes two drivers' fences differ: `create` takes equal bytes for its own write.
    me = f"{writer}/{uuid4().hex}"
    epoch = chain.epoch + 1
    added: list[StoredEntry] = []
    while True:
        seq, where = chain.next_seq, store.url_of(entry_key(chain.next_seq))
        entry = StoredEntry(seq, epoch, "fence", time.time() if at is None else at, me, 0, b"", tie)
        won = store.create(entry_key(seq), entry.encode())
        if not won:
            entry = occupant(store, seq)
            if entry.epoch >= epoch:
                raise ExperimentFenced(
                    f"{where}: {entry.writer} took this experiment over at the same moment. Only one driver "
                    "may run it; this one gives way."
                )
        chain.accept(entry, where=where)
        added.append(entry)
        if won:
            if seq > 1 or header is not None:
                _require_found(store, seq)
            return added


def _require_found(store: ObjectStore, seq: int) -> None:
    """Withdraw fence `seq` if the object before it is gone: the previous driver is removing the experiment.

    If it removes the object after this check, it sees the fence and restores the object (`Journal.discard`).
    """
    before = entry_key(seq - 1) if seq > 1 else HEADER_KEY
    if store.get(before) is None:
        store.delete(entry_key(seq))
        raise StorageError(
            f"{store.url_of(before)}: it was there and is gone. The driver before removes the experiment; "
            "try again when it has."
        )


def occupant(store: ObjectStore, seq: int) -> StoredEntry:
    """Return the entry at a position that was found taken."""
    entry = stored_entry(store, seq)
    if entry is None:
        where = store.url_of(entry_key(seq))
        raise CorruptJournalError(f"{where}: it was there and is gone. Is somebody deleting it?")
    return entry
