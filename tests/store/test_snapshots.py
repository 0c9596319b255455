"""Snapshots: the shortcut that must never change what is read, and never be the only copy."""

import hashlib
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fault_proxy import fault_proxy
from tune_flows.core.errors import CorruptJournalError, ExperimentFenced, InvalidParameter, StorageError
from tune_flows.store import CheckpointStore, Journal, ObjectStore
from tune_flows.store._gradual import encode_gradually
from tune_flows.store.entries import entry_key
from tune_flows.store.envelope import EncodedJson, decode_envelope, encode_envelope, encode_json


def begun(store, *, entries=0, snapshots=()):
    """A journal of `entries` commits, with a snapshot after each number of commits in `snapshots`."""
    journal = Journal.open(store, writer="driver")
    journal.create_header({"seed": 7})
    for number in range(1, entries + 1):
        seq = journal.append([{"n": number}], at=1.0)
        if number in snapshots:
            journal.write_snapshot(upto(number), seq=seq)
    return journal


def upto(number):
    return {"numbers": list(range(1, number + 1))}


def numbers(journal):
    """All that was ever committed: what the snapshot stands for, and the entries after it."""
    before = journal.snapshot.content["numbers"] if journal.snapshot else []
    return before + [record["n"] for entry in journal.entries() for record in entry.records]


def snapshot_path(store, seq):
    return Path(store.url, "snap", f"{seq:012d}.json")


def test_reading_begins_after_the_newest_snapshot(any_store):
    begun(any_store, entries=5, snapshots=[2, 4])
    for journal in (Journal.read(any_store), Journal.open(any_store, writer="next")):
        snapshot = journal.snapshot
        assert (snapshot.seq, snapshot.epoch, snapshot.content) == (5, 1, upto(4))
        assert snapshot.writer.startswith("driver/")
        assert next(journal.entries()).seq == 6
        assert numbers(journal) == [1, 2, 3, 4, 5]
    assert journal.epoch == 2
    journal.append([{"n": 6}], at=2.0)
    assert numbers(journal) == [1, 2, 3, 4, 5, 6]
    whole = Journal.read(any_store, whole=True)
    assert whole.snapshot is None
    assert [entry.seq for entry in whole.entries()] == [1, 2, 3, 4, 5, 6, 7, 8]
    any_store.delete_prefix("snap")


def test_a_snapshot_may_stand_at_the_very_end(store):
    begun(store, entries=3, snapshots=[3])
    assert list(Journal.read(store).entries()) == []
    journal = Journal.open(store, writer="next")
    assert [(entry.seq, entry.epoch, entry.kind) for entry in journal.entries()] == [(5, 2, "fence")]
    journal.write_snapshot(upto(3), seq=5)  # after one's own fence
    assert Journal.read(store).snapshot.epoch == 2
    assert numbers(Journal.open(store, writer="third")) == [1, 2, 3]


def test_the_two_newest_are_kept_across_drivers_and_the_log_too(store):
    journal = begun(store, entries=3, snapshots=[1, 2, 3])
    assert store.list("snap") == ["snap/000000000003.json", "snap/000000000004.json"]
    journal = Journal.open(store, writer="next")
    journal.write_snapshot(upto(3), seq=5)
    assert store.list("snap") == ["snap/000000000004.json", "snap/000000000005.json"]
    assert len(store.list("log")) == 5


def test_a_snapshot_that_cannot_be_used_does_not_count_as_kept(store):
    journal = begun(store, entries=2, snapshots=[1, 2])
    snapshot_path(store, 3).write_bytes(b"rubbish")
    journal = Journal.open(store, writer="next")
    assert journal.snapshot.seq == 2
    journal.write_snapshot(upto(2), seq=4)
    assert [key[-6] for key in store.list("snap")] == ["2", "3", "4"]
    journal.write_snapshot(upto(3), seq=journal.append([{"n": 3}], at=1.0))
    assert [key[-6] for key in store.list("snap")] == ["4", "5"]


class NoDelete(ObjectStore):
    def delete(self, key):
        raise StorageError("delete is denied")


def test_that_old_ones_cannot_be_deleted_does_no_harm(store, caplog):
    begun(NoDelete(store.url), entries=4, snapshots=[1, 2, 3])
    assert len(store.list("snap")) == 3
    assert "old snapshots stay for now: delete is denied" in caplog.text
    assert numbers(Journal.read(store)) == [1, 2, 3, 4]


def test_only_this_drivers_entries_can_be_snapshotted(store):
    begun(store, entries=2)
    journal = Journal.open(store, writer="next")
    for seq in (0, 3, 5):
        with pytest.raises(
            InvalidParameter, match=f"seq: got {seq}, expected an entry of this driver: 4 to 4"
        ):
            journal.write_snapshot({}, seq=seq)
    with pytest.raises(StorageError, match=r"use Journal\.open"):
        Journal.read(store).write_snapshot({}, seq=4)
    with pytest.raises(ValueError, match="JSON"):
        journal.write_snapshot({"loss": float("nan")}, seq=4)
    assert store.list("snap") == []


def test_a_fenced_driver_writes_none(store):
    old = begun(store, entries=1)
    Journal.open(store, writer="new")
    with pytest.raises(ExperimentFenced):
        old.append([{"n": 2}], at=1.0)
    with pytest.raises(ExperimentFenced):
        old.write_snapshot(upto(1), seq=2)


def test_a_snapshot_of_a_driver_that_does_not_know_yet_is_still_right(store):
    old = begun(store, entries=1)
    new = Journal.open(store, writer="new")
    new.append([{"n": 2}], at=1.0)
    old.write_snapshot(upto(1), seq=2)
    assert Journal.read(store).snapshot.seq == 2
    assert numbers(Journal.read(store)) == [1, 2]


def test_writing_it_twice_is_fine(store):
    journal = begun(store, entries=1)
    for at in (1.0, 2.0):
        journal.write_snapshot(upto(1), seq=2, at=at)
    assert Journal.read(store).snapshot.at == 1.0


def resealed(path, change):
    head, body = decode_envelope(path.read_bytes(), where="")
    head = {name: value for name, value in head.items() if name not in ("v", "sha256")}
    return encode_envelope(head | change, body)


DAMAGES = {
    "empty": lambda path: b"",
    "half": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "flipped": lambda path: path.read_bytes().replace(b'"n":1', b'"n":3'),
    "of a version that it cannot be": lambda path: path.read_bytes().replace(b'"v":1', b'"v":3'),
    "other kind": lambda path: resealed(path, {"kind": "data"}),
    "other number": lambda path: resealed(path, {"seq": 4}),
    "of another experiment": lambda path: resealed(path, {"experiment": "0" * 64}),
    "of another log": lambda path: resealed(path, {"writer": "twin/0"}),
    "without an epoch": lambda path: resealed(path, {"epoch": None}),
    "no object": lambda path: encode_envelope(decode_envelope(path.read_bytes(), where="")[0], b"[1]\n"),
    "no JSON": lambda path: encode_envelope(decode_envelope(path.read_bytes(), where="")[0], b"{\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_named_and_the_one_before_it_used(store, caplog, damage):
    begun(store, entries=5, snapshots=[2, 4])
    path = snapshot_path(store, 5)
    path.write_bytes(DAMAGES[damage](path))
    for journal in (Journal.read(store), Journal.open(store, writer="next")):
        assert journal.snapshot.seq == 3
        assert numbers(journal) == [1, 2, 3, 4, 5]
    assert [str(path) in record.getMessage() for record in caplog.records] == [True, True]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_when_all_are_damaged_the_whole_log_is_read(store, caplog):
    begun(store, entries=3, snapshots=[1, 2])
    for seq in (2, 3):
        snapshot_path(store, seq).write_bytes(b"rubbish")
    journal = Journal.open(store, writer="next")
    assert journal.snapshot is None
    assert numbers(journal) == [1, 2, 3]
    assert len(caplog.records) == 2


def test_a_newer_format_is_said_at_once(store):
    begun(store, entries=3, snapshots=[1, 2])
    path = snapshot_path(store, 3)
    data = path.read_bytes().replace(b'"v":1', b'"v":2')
    first, _, body = data.partition(b"\n")
    unsealed = first[: first.index(b',"sha256"')]
    digest = hashlib.sha256(unsealed + b"}\n" + body).hexdigest().encode()
    path.write_bytes(unsealed + b',"sha256":"' + digest + b'"}\n' + body)
    with pytest.raises(CorruptJournalError, match=r"snap/000000000003\.json: written in format 2"):
        Journal.open(store, writer="next")
    assert len(store.list("log")) == 4, "a failed open must not write"


def test_a_log_that_lost_what_the_snapshot_stands_after_is_an_error(store):
    begun(store, entries=4, snapshots=[4])
    Path(store.url, entry_key(5)).unlink()
    with pytest.raises(
        CorruptJournalError, match=r"log/000000000005\.jsonl: the object is missing, though snap/0+5\.json is"
    ):
        Journal.open(store, writer="next")


def test_the_chain_is_held_across_the_snapshot(store, tmp_path):
    begun(store, entries=4, snapshots=[2])
    twin = ObjectStore(str(tmp_path / "twin"))
    begun(twin, entries=4)
    store.put(entry_key(4), twin.get(entry_key(4)) or b"")
    with pytest.raises(CorruptJournalError, match=r"000000000004\.jsonl: data of epoch 1 by .* another log"):
        Journal.open(store, writer="next")
    Path(store.url, entry_key(4)).unlink()
    with pytest.raises(CorruptJournalError, match=r"000000000004\.jsonl: the object is missing"):
        Journal.open(store, writer="next")


def test_one_that_is_replaced_while_it_is_looked_for_is_no_problem(store):
    journal = begun(store, entries=2, snapshots=[1, 2])

    todo = [3, 4]

    class Slow(ObjectStore):
        def list(self, prefix=""):
            keys = super().list(prefix)
            while todo:
                number = todo.pop(0)
                journal.write_snapshot(upto(number), seq=journal.append([{"n": number}], at=1.0))
            return keys

    view = Journal.read(Slow(store.url))
    assert view.snapshot.seq == 5
    assert numbers(view) == [1, 2, 3, 4]


def test_discarding_leaves_nothing_that_the_next_experiment_could_meet(any_store):
    begun(any_store, entries=3, snapshots=[2]).discard()
    assert any_store.list() == []
    assert numbers(begun(any_store, entries=1)) == [1]


def test_it_is_written_beside_appends(store):
    journal = begun(store, entries=1)
    content = {"trials": {str(number): {"config": {"lr": number / 7}} for number in range(20_000)}}
    writer = threading.Thread(target=journal.write_snapshot, args=(content,), kwargs={"seq": 2})
    writer.start()
    beside = 0
    while writer.is_alive():
        journal.append([{"n": 1}], at=1.0)
        beside += 1
    assert beside >= 1
    assert Journal.read(store).snapshot.content == content
    assert len(list(Journal.read(store).entries())) == beside


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=3), inner, max_size=40),
    max_leaves=60,
)


@given(JSON)
def test_json_in_pieces_is_the_same_json(value):
    assert encode_gradually(value) == encode_json(value)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=40))
def test_text_that_is_encoded_already_stands_for_its_value(values):
    encoded = {name: EncodedJson(encode_json(value)) for name, value in values.items()}
    assert encode_gradually({"values": encoded, "n": 1}) == encode_json({"values": values, "n": 1})


@pytest.mark.parametrize("entries", [10, 200])
def test_opening_costs_what_lies_after_the_snapshot(s3, s3_url, monkeypatch, entries):
    folder = s3.folder / s3_url.removeprefix("s3://") / "x"
    begun(ObjectStore(str(folder)), entries=entries, snapshots=[entries - 3])
    requests: list[str] = []

    with fault_proxy(s3.endpoint, lambda method, path: requests.append(f"{method} {path}")) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        journal = Journal.open(ObjectStore(f"{s3_url}/x"), writer="next")
    assert numbers(journal) == list(range(1, entries + 1))
    assert len(list(journal.entries())) == 4
    assert sum("list-type=2" in request for request in requests) == 2
    assert len(requests) <= 16  # 3 entries, 3 others, 2 LIST, the fence, and some GETs past the end


@pytest.mark.parametrize("bucket_root", [True, False])
def test_a_moved_experiment_lives_on_and_leaves_the_old_one_alone(s3, s3_url, tmp_path, bucket_root):
    """From a local folder into a bucket, by copying files."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "model").write_bytes(b"weights")
    old = ObjectStore(str(tmp_path / "old" / "experiment"))
    journal = begun(old, entries=3, snapshots=[2])
    ref = CheckpointStore(old.url).save("t", 1, tmp_path / "source", lease=1)
    before = {key: old.get(key) for key in old.list()}

    inside = "" if bucket_root else "deep/er"
    shutil.copytree(old.url, s3.folder / s3_url.removeprefix("s3://") / inside, dirs_exist_ok=True)
    new = ObjectStore(f"{s3_url}/{inside}")
    moved = Journal.open(new, writer="there")
    assert (moved.snapshot.seq, moved.header) == (3, {"seed": 7})
    moved.append([{"n": 4}], at=1.0)
    moved.write_snapshot(upto(4), seq=6)
    assert numbers(Journal.read(new)) == [1, 2, 3, 4]
    checkpoints = CheckpointStore(new.url)
    checkpoints.restore(ref, tmp_path / "target")
    assert (tmp_path / "target" / "model").read_bytes() == b"weights"
    checkpoints.delete(ref)

    assert {key: old.get(key) for key in old.list()} == before
    assert journal.append([{"n": 5}], at=1.0) == 5  # nobody took it over
    CheckpointStore(old.url).restore(ref, tmp_path / "again")
