"""Read a log forward with several GETs in parallel, up to the first object that does not exist.

The end is found by GET alone. LIST, which may lag, serves only as a check: an object beyond the end means
that an earlier one was lost, and a log with a gap must never be taken for a shorter log. This LIST starts at
the end, so entries before a snapshot do not add to the cost of opening. In long logs, packs are tried.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store.entries import LOG_PREFIX, LogCursor, StoredEntry, entry_key
from tune_flows.store.objects import ObjectStore
from tune_flows.store.packs import begins_block, block_of, packed_entries

__all__ = ["missing_entry", "read_forward", "stored_entry"]

T = TypeVar("T")
_PACKS_AFTER = 32
"""Entries read singly before packs are tried: for a few entries, an extra request does not pay off."""
_PACKS_AHEAD = 4
_log = logging.getLogger(__name__)


def read_forward(store: ObjectStore, chain: LogCursor) -> Iterator[StoredEntry]:
    """Yield every entry from `chain.next_seq` to the end; check it against `chain`, which is advanced.

    Raises:
        CorruptJournalError: An object is missing, torn, foreign or of a newer format (named). Final.
    """
    read_singly = 0
    while True:
        with closing(_one_by_one(store, chain)) as entries:
            for entry in entries:
                yield entry
                read_singly += 1
                is_long = store.read_width > 1 and read_singly >= _PACKS_AFTER
                if is_long and (read_singly == _PACKS_AFTER or begins_block(chain.next_seq)):
                    before = chain.next_seq
                    yield from _packed(store, chain)
                    if chain.next_seq > before:
                        break
            else:
                if not _continues_after(store, chain.next_seq):
                    return


def stored_entry(store: ObjectStore, seq: int) -> StoredEntry | None:
    """Return entry number `seq`, or None if it does not exist.

    Raises:
        CorruptJournalError: The entry is torn, foreign or of a newer format. Final.
    """
    data = store.get(entry_key(seq))
    where = store.url_of(entry_key(seq))
    return None if data is None else StoredEntry.decode(data, seq=seq, where=where)


def _continues_after(store: ObjectStore, seq: int) -> bool:
    """Return whether a live driver has meanwhile written entry `seq`; raise if the entry was lost."""
    missing = entry_key(seq)
    beyond = store.first_after(LOG_PREFIX, entry_key(seq - 1))
    if beyond is None:
        return False
    if store.get(missing) is None:
        raise missing_entry(store, seq, beyond)
    return True


def missing_entry(store: ObjectStore, seq: int, witness: str) -> CorruptJournalError:
    """Return the error for entry `seq`, whose loss is proven by the existing object `witness`."""
    return CorruptJournalError(
        f"{store.url_of(entry_key(seq))}: the object is missing, though {witness} is there. Restore it from "
        "a backup, or start anew under another name."
    )


def _one_by_one(store: ObjectStore, chain: LogCursor) -> Generator[StoredEntry]:
    """Yield the entries from `chain.next_seq` to the end, reading one object per entry."""
    objects = _ahead(lambda seq: store.get(entry_key(seq)), chain.next_seq, most=store.read_width)
    with closing(objects):
        for data in objects:
            where = store.url_of(entry_key(chain.next_seq))
            entry = StoredEntry.decode(data, seq=chain.next_seq, where=where)
            chain.accept(entry, where=where)
            yield entry


def _packed(store: ObjectStore, chain: LogCursor) -> Iterator[StoredEntry]:
    """Yield the entries from `chain.next_seq` from packs, up to the first block without a usable pack."""
    packs = _ahead(partial(_pack_of_this_log, store), block_of(chain.next_seq), most=_PACKS_AHEAD)
    with closing(packs):
        for pack in packs:
            entries = [entry for entry in pack if entry.seq >= chain.next_seq]
            trial = replace(chain)
            try:
                for entry in entries:
                    trial.accept(entry, where=store.url_of(entry_key(entry.seq)))
            except CorruptJournalError as error:
                _log.warning("a pack is not of this log, its entries are read one by one: %s", error)
                return
            for entry in entries:
                chain.accept(entry, where="")
                yield entry


def _pack_of_this_log(store: ObjectStore, block: int) -> list[StoredEntry] | None:
    """Return a block's packed entries; None if the last one differs from the log's (a restored log)."""
    entries = packed_entries(store, block)
    if entries is None:
        return None
    try:
        same = stored_entry(store, entries[-1].seq) == entries[-1]
    except CorruptJournalError:
        return None  # reading this entry singly will raise the error
    if not same:
        _log.warning("the pack of entry %d is not of this log, which is read one by one", entries[-1].seq)
    return entries if same else None


def _ahead(read: Callable[[int], T | None], number: int, *, most: int) -> Generator[T]:
    """Yield `read(number)`, `read(number + 1)`, ... up to the first None, with up to `most` calls at once."""
    if most == 1:
        while (found := read(number)) is not None:
            yield found
            number += 1
        return
    pool = ThreadPoolExecutor(most, thread_name_prefix="tune-flows-read")
    ahead: deque[Future[T | None]] = deque()
    width = 2
    try:
        while True:
            while len(ahead) < width:
                ahead.append(pool.submit(read, number))
                number += 1
            found = ahead.popleft().result()
            if found is None:
                return
            yield found
            width = min(width + 1, most)  # starts small: a short log should not cost many GETs past its end
    finally:
        pool.shutdown(cancel_futures=True)
