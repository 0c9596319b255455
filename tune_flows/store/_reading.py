"""Reading a log forward: several GETs ahead, up to the first object that is not there.

The end is found by GET alone. LIST, which may lag, only proves the opposite: an object beyond the end means
that one before it was lost, and a log with a hole must never pass for a shorter one. It begins at the end, so
that opening costs no more for what lies before a snapshot. Where much lies before the end, packs are tried.
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
"""Entries read one by one before packs are tried: a short log or a few news are not worth a request more."""
_PACKS_AHEAD = 4
_log = logging.getLogger(__name__)


def read_forward(store: ObjectStore, chain: LogCursor) -> Iterator[StoredEntry]:
    """Every entry from `chain.next_seq` to the end, checked against the chain, which moves along.

    Raises:
        CorruptJournalError: An object is missing, torn, foreign or of a newer format; it is named. Final.
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


def _one_by_one(store: ObjectStore, chain: LogCursor) -> Generator[StoredEntry]:
    """The entries from `chain.next_seq` to the end, each from an object of its own."""
    objects = _ahead(lambda seq: store.get(entry_key(seq)), chain.next_seq, most=store.read_width)
    with closing(objects):
        for data in objects:
            where = store.url_of(entry_key(chain.next_seq))
            entry = StoredEntry.decode(data, seq=chain.next_seq, where=where)
            chain.accept(entry, where=where)
            yield entry


def _packed(store: ObjectStore, chain: LogCursor) -> Iterator[StoredEntry]:
    """The entries from `chain.next_seq` up to the first block that no pack of this log holds."""
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
    """The entries of a block, if the same one ends it in the log: in a log that was put back it does not."""
    entries = packed_entries(store, block)
    if entries is None:
        return None
    try:
        same = stored_entry(store, entries[-1].seq) == entries[-1]
    except CorruptJournalError:
        return None  # reading it in its turn says what is wrong
    if not same:
        _log.warning("the pack of entry %d is not of this log, which is read one by one", entries[-1].seq)
    return entries if same else None


def _ahead(read: Callable[[int], T | None], number: int, *, most: int) -> Generator[T]:
    """`read(number)`, `read(number + 1)`, ... up to the first None; up to `most` of them at once."""
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
            width = min(width + 1, most)  # a short log is not worth many GETs past its end
    finally:
        pool.shutdown(cancel_futures=True)
