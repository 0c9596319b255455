"""Entries of the log: their keys, their encoding, and the checks of their order.

An entry is one commit of one driver. A driver takes over with a fence entry, which starts its epoch; the data
entries of that epoch have the same writer. `LogCursor` rejects an entry that does not continue the log.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store.envelope import decode_envelope, decode_json, encode_envelope, encode_json

__all__ = ["LOG_PREFIX", "Entry", "Kind", "LogCursor", "StoredEntry", "encode_records", "entry_key"]

LOG_PREFIX = "log"
Kind = Literal["fence", "data"]


def entry_key(seq: int) -> str:
    """Return the key of entry number `seq`, counted from 1."""
    return f"{LOG_PREFIX}/{seq:012d}.jsonl"


def encode_records(records: list[dict[str, Any]]) -> bytes:
    """Encode records as JSON lines; raise ValueError or TypeError for values that are not strict JSON."""
    return b"".join([encode_json(record) + b"\n" for record in records])


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log.

    Attributes:
        seq: Position in the log, from 1.
        epoch: Epoch of the driver that wrote it, from 1; each takeover adds one.
        kind: `fence` for a takeover, `data` for a commit.
        at: Time of writing, seconds since 1970, by the writer's clock.
        records: The committed records; empty in a fence.
        writer: The driver that wrote it: the name given to `Journal.open` plus a random part.
    """

    seq: int
    epoch: int
    kind: Kind
    at: float
    records: list[dict[str, Any]]
    writer: str


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with a checked head, whose records are not decoded yet.

    `experiment` is the checksum of the header that the log belongs to. Each driver writes it once: in its
    fence, or in its first data entry if the header did not exist before. It is empty in all other entries.
    """

    seq: int
    epoch: int
    kind: Kind
    at: float
    writer: str
    count: int
    body: bytes
    experiment: str = ""

    def encode(self, *, compress: bool = True) -> bytes:
        """Return the bytes of the object; with `compress`, a large one is compressed with gzip."""
        head = {
            "kind": self.kind,
            "seq": self.seq,
            "epoch": self.epoch,
            "writer": self.writer,
            "at": self.at,
            "n": self.count,
        }
        if self.experiment:
            head["experiment"] = self.experiment
        return encode_envelope(head, self.body, compress=compress)

    @classmethod
    def decode(cls, data: bytes, *, seq: int, where: str) -> "StoredEntry":
        """Decode the entry from the bytes of the object `where`, which must be number `seq`.

        Raises:
            CorruptJournalError: The entry is torn, changed, foreign, misplaced or of a newer format. Final.
        """
        head, body = decode_envelope(data, where=where)
        kind, epoch, writer, at, count = (head.get(name) for name in ("kind", "epoch", "writer", "at", "n"))
        if kind not in ("fence", "data"):
            raise CorruptJournalError(f"{where}: got an object of kind {kind!r}, expected 'fence' or 'data'.")
        if head.get("seq") != seq:
            raise CorruptJournalError(f"{where}: got entry {head.get('seq')!r}, expected {seq}.")
        if type(epoch) is not int or type(count) is not int or not isinstance(writer, str):
            raise CorruptJournalError(f"{where}: its first line lacks epoch, writer or n.")
        experiment = head.get("experiment", "")
        if not isinstance(experiment, str):
            raise CorruptJournalError(f"{where}: got experiment {experiment!r}, expected a checksum.")
        lines = body.count(b"\n")
        if not isinstance(at, int | float) or lines != count:
            raise CorruptJournalError(f"{where}: its first line does not fit its {lines} records.")
        return cls(seq, epoch, kind, float(at), writer, count, body, experiment)

    def entry(self) -> Entry:
        """Return the entry with its records decoded."""
        records = cast("list[dict[str, Any]]", [decode_json(line) for line in self.body.split(b"\n")[:-1]])
        return Entry(self.seq, self.epoch, self.kind, self.at, records, self.writer)


@dataclass(slots=True)
class LogCursor:
    """A position in a log, which determines what the next entry must be.

    Attributes:
        next_seq: The first position that is free, as far as is known.
        epoch: Epoch of the newest driver; 0 before the first.
        writer: Writer of that epoch.
        holds_data: Whether any data entry exists.
        experiment: Checksum of the header, as written by the newest driver; empty until it has written it.
    """

    next_seq: int = 1
    epoch: int = 0
    writer: str = ""
    holds_data: bool = False
    experiment: str = ""

    def accept(self, entry: StoredEntry, *, where: str) -> None:
        """Advance by one entry.

        Raises:
            CorruptJournalError: The entry does not continue this log; the cursor is unchanged. Final.
        """
        if entry.seq != self.next_seq:
            raise CorruptJournalError(f"{where}: got entry {entry.seq}, expected {self.next_seq}.")
        if entry.kind == "fence":
            if entry.epoch != self.epoch + 1:
                raise CorruptJournalError(
                    f"{where}: a fence of epoch {entry.epoch} after epoch {self.epoch}, expected "
                    f"{self.epoch + 1}: it belongs to another log."
                )
        elif (entry.epoch, entry.writer) != (self.epoch, self.writer):
            raise CorruptJournalError(
                f"{where}: data of epoch {entry.epoch} by {entry.writer!r} in epoch {self.epoch} of "
                f"{self.writer!r}: it belongs to another log."
            )
        self.next_seq, self.epoch, self.writer = entry.seq + 1, entry.epoch, entry.writer
        self.holds_data = self.holds_data or entry.kind == "data"
        self.experiment = entry.experiment or ("" if entry.kind == "fence" else self.experiment)
