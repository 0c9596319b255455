"""Packs: many log entries in one object, so that a long log is read with few requests.

Rules:
- A pack is a shortcut, never the only copy: the entries are kept. A pack that is missing, damaged or from
  another log only costs time.
- Pack number n holds the entries of block n: `PACK_ENTRIES` of them, beginning with entry
  n * `PACK_ENTRIES` + 1. A block is packed only after all of it is committed, so that every driver creates
  the same bytes.
- Packs are written only where many small reads are slow, not on a local disk.
"""

import logging
from itertools import accumulate, pairwise
from typing import cast

from tune_flows.core.errors import CorruptJournalError, StorageError
from tune_flows.store.entries import StoredEntry
from tune_flows.store.envelope import decode_envelope, encode_envelope
from tune_flows.store.objects import ObjectStore

__all__ = [
    "PACK_ENTRIES",
    "PACK_PREFIX",
    "Packer",
    "begins_block",
    "block_of",
    "create_pack",
    "packed_entries",
]

PACK_PREFIX = "pack"
PACK_ENTRIES = 256
_MOST_BYTES = 4 * 2**20
"""Larger blocks are not packed: reading singly is about as fast, and they would take too much memory."""
_log = logging.getLogger(__name__)


def block_of(seq: int) -> int:
    """Return the number of the block with entry `seq`, from 0."""
    return (seq - 1) // PACK_ENTRIES


def begins_block(seq: int) -> bool:
    """Return whether entry `seq` is the first of its block."""
    return (seq - 1) % PACK_ENTRIES == 0


def packed_entries(store: ObjectStore, block: int) -> list[StoredEntry] | None:
    """Return the verified entries of a block from its pack, or None if no pack can be read."""
    try:
        data = store.get(_key(block))
        if data is None:
            return None
        return _decode(data, first=block * PACK_ENTRIES + 1, where=store.url_of(_key(block)))
    except (CorruptJournalError, StorageError) as error:
        _log.warning("a pack of the log cannot be used, its entries are read one by one: %s", error)
        return None


def _decode(data: bytes, *, first: int, where: str) -> list[StoredEntry]:
    head, body = decode_envelope(data, where=where, kind="pack")
    sizes: object = head.get("sizes")
    if not isinstance(sizes, list) or not all(type(size) is int for size in cast("list[object]", sizes)):
        raise CorruptJournalError(f"{where}: its first line lacks sizes.")
    ends = list(accumulate(cast("list[int]", sizes), initial=0))
    if len(ends) != PACK_ENTRIES + 1 or ends[-1] != len(body):
        raise CorruptJournalError(
            f"{where}: got {len(ends) - 1} entries of {ends[-1]} bytes together, expected {PACK_ENTRIES} of "
            f"{len(body)}."
        )
    return [
        StoredEntry.decode(body[begin:end], seq=seq, where=f"{where}, entry {seq}")
        for seq, (begin, end) in enumerate(pairwise(ends), first)
    ]


class Packer:
    """Collects the entries of the last block of a log until it is full. Not thread-safe."""

    def __init__(self) -> None:
        self._entries: list[StoredEntry] = []
        self._size_bytes = 0

    def add(self, entry: StoredEntry) -> list[StoredEntry] | None:
        """Add the next entry of the log; return the entries of its block if the block is to be packed now."""
        if begins_block(entry.seq):
            self._entries, self._size_bytes = [], 0
        elif not self._entries or self._entries[-1].seq != entry.seq - 1:
            self._entries = []  # the start of this block was not seen
            return None
        self._entries.append(entry)
        self._size_bytes += len(entry.body)
        if self._size_bytes > _MOST_BYTES:
            self._entries = []
        if len(self._entries) < PACK_ENTRIES:
            return None
        whole, self._entries = self._entries, []
        return whole


def create_pack(store: ObjectStore, entries: list[StoredEntry]) -> None:
    """Store the pack of a full block.

    Raises:
        StorageError: The storage refused or did not answer.
    """
    documents = [entry.encode(compress=False) for entry in entries]
    body = b"".join(documents)
    head = {"kind": "pack", "n": body.count(b"\n"), "sizes": [len(document) for document in documents]}
    store.create(_key(block_of(entries[0].seq)), encode_envelope(head, body, compress=True))


def _key(block: int) -> str:
    first = block * PACK_ENTRIES + 1
    return f"{PACK_PREFIX}/{first:012d}-{first + PACK_ENTRIES - 1:012d}.jsonl"
