"""Reading a log forward: several GETs ahead, up to the first object that is not there.

The end is found by GET alone. LIST, which may lag, only proves the opposite: an object beyond the end means
that one before it was lost, and a log with a hole must never pass for a shorter one. It begins at the end, so
that opening costs no more for what lies before a snapshot.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store.entries import LOG_PREFIX, Chain, StoredEntry, entry_key
from tune_flows.store.objects import ObjectStore

__all__ = ["missing_entry", "read_forward", "stored_entry"]


def read_forward(store: ObjectStore, chain: Chain) -> Iterator[StoredEntry]:
    """Every entry from `chain.next_seq` to the end, checked against the chain, which moves along.

    Raises:
        CorruptJournalError: An object is missing, torn, foreign or of a newer format; it is named. Final.
    """
    while True:
        for data in _until_missing(store, chain.next_seq):
            where = store.url_of(entry_key(chain.next_seq))
            entry = StoredEntry.decode(data, seq=chain.next_seq, where=where)
            chain.accept(entry, where=where)
            yield entry
        if not _continues_after(store, chain.next_seq):
            return


def stored_entry(store: ObjectStore, seq: int) -> StoredEntry | None:
    """Entry number `seq`, None when it is not there.

    Raises:
        CorruptJournalError: It is torn, foreign or of a newer format. Final.
    """
    data = store.get(entry_key(seq))
    where = store.url_of(entry_key(seq))
    return None if data is None else StoredEntry.decode(data, seq=seq, where=where)


def _continues_after(store: ObjectStore, seq: int) -> bool:
    """Whether a live driver has meanwhile written entry `seq`; raises when it is lost instead."""
    missing = entry_key(seq)
    beyond = store.first_after(LOG_PREFIX, entry_key(seq - 1))
    if beyond is None:
        return False
    if store.get(missing) is None:
        raise missing_entry(store, seq, beyond)
    return True


def missing_entry(store: ObjectStore, seq: int, witness: str) -> CorruptJournalError:
    """The error for an entry that is gone, as the object `witness` proves."""
    return CorruptJournalError(
        f"{store.url_of(entry_key(seq))}: the object is missing, though {witness} is there. Restore it from "
        "a backup, or start anew under another name."
    )


def _until_missing(store: ObjectStore, seq: int) -> Iterator[bytes]:
    if store.read_width == 1:
        while (data := store.get(entry_key(seq))) is not None:
            yield data
            seq += 1
        return
    pool = ThreadPoolExecutor(store.read_width, thread_name_prefix="tune-flows-read")
    ahead: deque[Future[bytes | None]] = deque()
    width = 2
    try:
        while True:
            while len(ahead) < width:
                ahead.append(pool.submit(store.get, entry_key(seq)))
                seq += 1
            data = ahead.popleft().result()
            if data is None:
                return
            yield data
            width = min(width + 1, store.read_width)  # a short log is not worth many GETs past its end
    finally:
        pool.shutdown(cancel_futures=True)
