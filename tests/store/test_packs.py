"""Packs: a long log is read in few requests, and never otherwise than without them."""

import logging

import pytest

from tests.experiment.memory_store import MemoryStore, RemoteFolder
from tune_flows.store import Journal, ObjectStore
from tune_flows.store.entries import entry_key
from tune_flows.store.packs import PACK_ENTRIES

SINGLY = 32
"""Entries that are read one by one before packs are tried."""
ENTRIES = 3 * PACK_ENTRIES + 100


def write(journal, numbers, *, snapshot_at=None):
    for number in numbers:
        seq = journal.append([{"n": number}], at=1.0)
        if number == snapshot_at:
            journal.write_snapshot({"numbers": list(range(number + 1))}, seq=seq)
        if journal.can_pack:
            journal.write_packs()


def found(journal):
    before = journal.snapshot.content["numbers"] if journal.snapshot else []
    return before + [record["n"] for entry in journal.entries() for record in entry.records]


def begun(folder, stop, **options):
    journal = Journal.open(MemoryStore(folder), writer="driver")
    journal.create_header({"seed": 7})
    write(journal, range(stop), **options)
    return journal


@pytest.fixture(scope="module")
def written():
    """What three blocks and a part of a fourth leave in the storage."""
    folder = RemoteFolder()
    begun(folder, ENTRIES)
    return folder.state


@pytest.fixture
def folder(written):
    return RemoteFolder(written)


def test_a_long_log_is_read_in_few_requests(folder):
    assert folder.list("pack") == [
        "pack/000000000001-000000000256.jsonl",
        "pack/000000000257-000000000512.jsonl",
        "pack/000000000513-000000000768.jsonl",
    ]
    assert found(Journal.read(MemoryStore(folder))) == list(range(ENTRIES))
    after_packs = ENTRIES + 1 - 3 * PACK_ENTRIES
    assert len(folder.reads_of("log")) <= SINGLY + after_packs + 3 * RemoteFolder.read_width
    assert len(folder.reads_of("pack")) <= 3 + RemoteFolder.read_width


def test_a_short_log_costs_no_request_more(folder):
    for key in folder.list("pack"):
        folder.remove(key)
    short = RemoteFolder((key, data) for key, data in folder.state if key <= entry_key(SINGLY - 1))
    assert len(found(Journal.read(MemoryStore(short)))) == SINGLY - 2  # a fence came first
    assert not short.reads_of("pack")


def test_news_are_asked_for_without_packs(folder):
    view = Journal.read(MemoryStore(folder))
    assert len(list(view.read_new())) == ENTRIES + 1
    folder.reads.clear()
    assert list(view.read_new()) == []
    assert not folder.reads_of("pack")


def test_a_snapshot_in_the_middle_of_a_block():
    folder = RemoteFolder()
    begun(folder, ENTRIES, snapshot_at=PACK_ENTRIES + 7)
    folder.reads.clear()
    assert found(Journal.read(MemoryStore(folder))) == list(range(ENTRIES))
    assert len(folder.reads_of("log")) < PACK_ENTRIES


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize("harm", ["missing", "torn", "flipped", "of another block", "of another log"])
def test_a_pack_that_cannot_be_used_costs_requests_only(folder, block, harm, caplog):
    keys = folder.list("pack")
    data = folder.read(keys[block])
    other = RemoteFolder()
    if harm == "of another log":
        begun(other, 3 * PACK_ENTRIES)
    put = {
        "missing": lambda: folder.remove(keys[block]),
        "torn": lambda: folder.write(keys[block], data[: len(data) // 2]),
        "flipped": lambda: folder.write(keys[block], data[:99] + bytes([data[99] ^ 1]) + data[100:]),
        "of another block": lambda: folder.write(keys[block], folder.read(keys[block - 1])),
        "of another log": lambda: folder.write(keys[block], other.read(keys[block])),
    }
    put[harm]()
    with caplog.at_level(logging.WARNING):
        journal = Journal.open(MemoryStore(folder), writer="next")
    assert found(journal) == list(range(ENTRIES))
    assert ("one by one" in caplog.text) == (harm != "missing")
    assert journal.epoch == 2


def test_a_log_that_was_put_back_is_not_read_from_packs_of_the_one_before(folder):
    """Its newest entries were lost, others came in their places: packs must not bring the old ones back."""
    store = MemoryStore(folder)
    for key in folder.list("log"):
        if key > entry_key(PACK_ENTRIES + 50):  # the second block is cut short
            folder.remove(key)
    journal = Journal.open(store, writer="next")
    old = list(range(PACK_ENTRIES + 49))
    assert found(journal) == old
    write(journal, range(10_000, 10_400))
    assert found(Journal.read(store)) == old + list(range(10_000, 10_400))


def test_a_pack_that_may_not_be_read_costs_requests_only(folder, caplog):
    class Locked(RemoteFolder):
        def read(self, key):
            if key.startswith("pack/"):
                raise PermissionError("denied")
            return super().read(key)

    assert found(Journal.read(MemoryStore(Locked(folder.state)))) == list(range(ENTRIES))
    assert "denied" in caplog.text


def test_the_next_driver_goes_on_packing(folder):
    journal = Journal.open(MemoryStore(folder), writer="next")
    write(journal, range(ENTRIES, 2 * ENTRIES))
    assert len(folder.list("pack")) == (2 * ENTRIES + 2) // PACK_ENTRIES
    folder.reads.clear()
    assert found(Journal.read(MemoryStore(folder))) == list(range(2 * ENTRIES))
    assert len(folder.reads_of("log")) < PACK_ENTRIES


def test_entries_that_are_large_together_are_left_alone():
    folder = RemoteFolder()
    journal = begun(folder, 0)
    for number in range(PACK_ENTRIES + 1):
        journal.append([{"n": number, "note": "x" * 20_000}], at=1.0)
        assert not journal.can_pack


def test_what_is_discarded_leaves_no_pack(folder):
    Journal.open(MemoryStore(folder), writer="next").discard()
    assert folder.list("") == []


def test_on_a_local_disk_nothing_is_packed(tmp_path):
    journal = Journal.open(ObjectStore(f"{tmp_path}/e"), writer="driver")
    journal.create_header({"seed": 7})
    write(journal, range(PACK_ENTRIES + 1))
    assert not (tmp_path / "e" / "pack").exists()


def test_over_the_real_protocol(s3_url):
    store = ObjectStore(f"{s3_url}/e")
    journal = Journal.open(store, writer="driver")
    journal.create_header({"seed": 7})
    write(journal, range(2 * PACK_ENTRIES))
    assert len(store.list("pack")) == 2
    assert found(Journal.read(ObjectStore(f"{s3_url}/e"))) == list(range(2 * PACK_ENTRIES))
