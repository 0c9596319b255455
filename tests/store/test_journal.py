"""The journal on a local folder: history, takeover, and what must never pass unnoticed."""

import gzip
import json
from pathlib import Path

import pytest

from tune_flows.core.errors import CorruptJournalError, ExperimentFenced, StorageError
from tune_flows.store import Journal, ObjectStore
from tune_flows.store.entries import entry_key


def begun(store, header=None):
    journal = Journal.open(store, writer="driver")
    assert journal.create_header(header or {"seed": 7})
    return journal


def history(store):
    return [(entry.seq, entry.epoch, entry.kind, entry.records) for entry in Journal.read(store).entries()]


def test_what_is_appended_comes_back_in_order(any_store):
    journal = begun(any_store, {"space": {"lr": [0.1, 1e-9]}, "name": "Zürich"})
    assert journal.append([{"a": 1}, {"b": [1.5, None, True, "é\n\ud800"]}], at=10.5) == 2
    assert journal.append([], at=11.0) == 3
    view = Journal.read(any_store)
    assert view.header == {"space": {"lr": [0.1, 1e-9]}, "name": "Zürich"}
    fence, first, second = view.entries()
    assert (fence.seq, fence.epoch, fence.kind, fence.records) == (1, 1, "fence", [])
    assert fence.writer.startswith("driver/")
    assert (first.seq, first.epoch, first.kind, first.at) == (2, 1, "data", 10.5)
    assert first.records == [{"a": 1}, {"b": [1.5, None, True, "é\n\ud800"]}]
    assert (second.records, second.writer) == ([], fence.writer)


def test_there_is_no_experiment_without_a_header(store):
    assert Journal.read(store).header is None
    abandoned = Journal.open(store, writer="a")
    assert abandoned.header is None
    assert Journal.read(store).header is None
    journal = Journal.open(store, writer="b")
    assert journal.create_header({"x": 1})
    journal.append([{"n": 1}], at=1.0)
    assert history(store) == [(1, 1, "fence", []), (2, 2, "fence", []), (3, 2, "data", [{"n": 1}])]


def test_nothing_is_appended_before_the_header(store):
    with pytest.raises(CorruptJournalError, match=r"experiment\.json: the object is missing"):
        Journal.open(store, writer="a").append([{}], at=1.0)


def test_a_view_writes_nothing(store):
    begun(store)
    view = Journal.read(store)
    with pytest.raises(StorageError, match=r"use Journal\.open"):
        view.append([{}], at=1.0)
    with pytest.raises(StorageError, match=r"use Journal\.open"):
        view.create_header({})


def test_opening_replays_and_goes_on(store):
    journal = begun(store)
    for number in range(5):
        journal.append([{"n": number}], at=float(number))
    again = Journal.open(store, writer="b")
    assert again.header == {"seed": 7}
    assert again.epoch == 2
    assert [entry.records for entry in again.entries() if entry.kind == "data"] == [
        [{"n": n}] for n in range(5)
    ]
    assert again.append([{"n": 5}], at=5.0) == 8
    assert len(list(again.entries())) == 8  # read anew once the replayed copy is gone


def test_the_driver_before_is_fenced_and_stays_so(any_store):
    old = begun(any_store)
    old.append([{"n": 1}], at=1.0)
    new = Journal.open(any_store, writer="new")
    with pytest.raises(ExperimentFenced, match=r"000000000003\.jsonl: new/.* has taken this experiment over"):
        old.append([{"n": 2}], at=2.0)
    new.append([{"n": 3}], at=3.0)
    with pytest.raises(ExperimentFenced):
        old.append([{"n": 2}], at=2.0)
    assert [entry[3] for entry in history(any_store)] == [[], [{"n": 1}], [], [{"n": 3}]]


def test_what_a_view_has_read_is_not_read_again(store):
    first = begun(store)
    first.append([{"n": 0}], at=0.0)
    first.write_snapshot({"n": 0}, seq=2)
    first.append([{"n": 1}], at=1.0)

    read = []

    class Counting(ObjectStore):
        def get(self, key):
            read.append(key)
            return super().get(key)

    view = Journal.read(Counting(store.url), keep=True)
    assert [entry.seq for entry in view.entries()] == [3]
    first.append([{"n": 2}], at=2.0)
    read.clear()
    journal = Journal.open(Counting(store.url), writer="b", seen=view)
    assert [entry.seq for entry in journal.entries()] == [3, 4, 5]
    assert (journal.epoch, journal.snapshot.seq) == (2, 2)
    assert entry_key(3) not in read
    assert [entry.seq for entry in view.entries()] == [3, 4, 5]


@pytest.mark.parametrize("keep", [False, True])
def test_a_view_that_has_not_read_to_the_end_saves_nothing_and_breaks_nothing(store, keep):
    begun(store).append([{"n": 0}], at=0.0)
    view = Journal.read(store, keep=keep)
    next(iter(view.entries()))
    assert [entry.seq for entry in Journal.open(store, writer="b", seen=view).entries()] == [1, 2, 3]


def test_a_takeover_can_be_looked_for(store):
    old = begun(store)
    old.append([{"n": 1}], at=1.0)
    old.require_ownership()
    Journal.open(store, writer="new")
    with pytest.raises(ExperimentFenced, match=r"new/.* has taken this experiment over"):
        old.require_ownership()
    with pytest.raises(StorageError, match=r"Journal\.read"):
        Journal.read(store).require_ownership()


class Interleaved(ObjectStore):
    """Lets something happen just before the first create of a key."""

    def __init__(self, url, happenings):
        super().__init__(url)
        self.happenings = happenings

    def create(self, key, data):
        if key in self.happenings:
            self.happenings.pop(key)()
        return super().create(key, data)


def test_an_append_that_beats_the_fence_is_taken_in(store):
    old = begun(store)
    racing = Interleaved(store.url, {entry_key(2): lambda: old.append([{"late": 1}], at=1.0)})
    new = Journal.open(racing, writer="new")
    assert [entry.kind for entry in new.entries()] == ["fence", "data", "fence"]
    with pytest.raises(ExperimentFenced):
        old.append([{"late": 2}], at=2.0)


def test_of_two_that_open_at_once_the_second_gives_way(store):
    racing = Interleaved(store.url, {entry_key(1): lambda: Journal.open(store, writer="first")})
    with pytest.raises(ExperimentFenced, match=r"first/.* at the same moment"):
        Journal.open(racing, writer="second")


def test_the_first_header_stands(store):
    old = Journal.open(store, writer="old")
    new = Journal.open(store, writer="new")
    assert old.create_header({"by": "old"})
    assert not new.create_header({"by": "new"})
    assert new.header == {"by": "old"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_is_not_json_is_refused_and_nothing_is_written(store, value):
    journal = begun(store)
    with pytest.raises((ValueError, TypeError)):
        journal.append([{"value": value}], at=1.0)
    assert journal.append([{"value": 1}], at=1.0) == 2


class Failing(ObjectStore):
    """Stores or loses an object, and reports an outage."""

    mode = "ok"

    def create(self, key, data):
        if self.mode == "ok" or (self.mode == "stored" and super().create(key, data) and False):
            return super().create(key, data)
        raise StorageError("the storage is away")


@pytest.mark.parametrize("mode", ["stored", "lost"])
def test_an_append_in_doubt_is_repeated_and_counts_once(store, mode):
    failing = Failing(store.url)
    journal = begun(failing)
    failing.mode = mode
    with pytest.raises(StorageError, match="away"):
        journal.append([{"n": 1}], at=1.0)
    failing.mode = "ok"
    with pytest.raises(StorageError, match="append the same records again"):
        journal.append([{"n": 2}], at=2.0)
    assert journal.append([{"n": 1}], at=3.0) == 2
    assert journal.append([{"n": 2}], at=4.0) == 3
    assert [entry[3] for entry in history(store)] == [[], [{"n": 1}], [{"n": 2}]]


def test_an_append_in_doubt_loses_to_a_takeover(store):
    failing = Failing(store.url)
    journal = begun(failing)
    failing.mode = "lost"
    with pytest.raises(StorageError, match="away"):
        journal.append([{"n": 1}], at=1.0)
    failing.mode = "ok"
    Journal.open(store, writer="new")
    with pytest.raises(ExperimentFenced):
        journal.append([{"n": 1}], at=1.0)


def test_large_entries_are_gzip_and_readable_with_standard_tools(store):
    records = [{"text": "x" * 100, "n": number} for number in range(1000)]
    journal = begun(store)
    journal.append(records, at=1.0)
    journal.append(records[:2], at=2.0)
    large, small = (Path(store.url, entry_key(seq)).read_bytes() for seq in (2, 3))
    assert len(large) < 16 * 1024
    lines = gzip.decompress(large).decode().splitlines()
    assert json.loads(lines[0])["n"] == 1000
    assert [json.loads(line) for line in lines[1:]] == records
    assert [json.loads(line) for line in small.decode().splitlines()[1:]] == records[:2]
    assert history(store)[1][3] == records


def test_an_experiment_may_be_moved(store, tmp_path):
    journal = begun(store)
    journal.append([{"n": 1}], at=1.0)
    moved = ObjectStore(f"{tmp_path}/elsewhere")
    for key in store.list():
        moved.put(key, store.get(key) or b"")
    Journal.open(moved, writer="there").append([{"n": 2}], at=2.0)
    assert journal.append([{"n": 3}], at=3.0) == 3
    assert [entry[3] for entry in history(moved)] == [[], [{"n": 1}], [], [{"n": 2}]]


def test_a_view_follows_a_running_experiment(store):
    journal = begun(store)
    view = Journal.read(store)
    journal.append([{"n": 1}], at=1.0)
    assert len(list(view.entries())) == 2
    journal.append([{"n": 2}], at=2.0)
    assert len(list(view.entries())) == 3


def test_news_are_given_once(any_store):
    journal = begun(any_store)
    journal.append([{"n": 1}], at=1.0)
    view = Journal.read(any_store)
    assert [entry.seq for entry in view.read_new()] == [1, 2]
    assert list(view.read_new()) == []
    for n in (2, 3):
        journal.append([{"n": n}], at=2.0)
    assert next(view.read_new()).seq == 3  # not taken, as nobody asked for the next one
    assert [entry.seq for entry in view.read_new(up_to=3)] == [3]
    assert [entry.records for entry in view.read_new()] == [[{"n": 3}]]
    journal.write_snapshot({"n": 3}, seq=4)
    journal.append([{"n": 4}], at=3.0)
    begins_late = Journal.read(any_store)
    assert [entry.seq for entry in begins_late.read_new()] == [5]
    assert len(list(Journal.read(any_store, whole=True).read_new())) == 5
