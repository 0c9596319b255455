"""A history that is removed while somebody takes it over: one of the two gives way, and nothing is torn."""

import threading
from contextlib import contextmanager
from itertools import chain, count, cycle, repeat

import pytest

from tests.experiment.memory_store import Died, MemoryFolder, MemoryStore
from tune_flows.core.errors import ExperimentFenced, StorageError
from tune_flows.store import Journal
from tune_flows.store.header import HEADER_KEY

REMOVER, OTHER = "remover", "other"
NEWS = {"n": "new"}


class Turns:
    """Lets two threads do something one after the other, in a given order; who has ended is passed over."""

    def __init__(self, order):
        self._order = iter(order)
        self._at_work = {REMOVER, OTHER}
        self._changed = threading.Condition()
        self._whose = next(self._order)

    @contextmanager
    def turn(self):
        me = threading.current_thread().name
        if me not in (REMOVER, OTHER):
            yield
            return
        with self._changed:
            assert self._changed.wait_for(lambda: self._whose == me, timeout=20)
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self):
        with self._changed:
            if self._at_work:
                self._whose = next(name for name in self._order if name in self._at_work)
            self._changed.notify_all()

    def run(self, **calls):
        """What each of them returned or raised."""
        outcomes = {}

        def run(name, call):
            try:
                outcomes[name] = call()
            except (StorageError, ExperimentFenced) as error:
                outcomes[name] = error
            with self.turn():
                self._at_work.discard(name)

        threads = [threading.Thread(target=run, args=pair, name=pair[0]) for pair in calls.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes


class SharedFolder(MemoryFolder):
    """Each operation on it takes a turn."""

    turns = None

    def create(self, key, data):
        with self.turns.turn():
            return super().create(key, data)

    def read(self, key):
        with self.turns.turn():
            return super().read(key)

    def remove(self, key):
        with self.turns.turn():
            super().remove(key)

    def list(self, prefix):
        with self.turns.turn():
            return super().list(prefix)


def begun(folder):
    """Two drivers have written; the journal of the second one."""
    journal = Journal.open(MemoryStore(folder), writer="first")
    journal.create_header({"seed": 7})
    journal.append([{"n": 1}], at=1.0)
    journal.write_snapshot({"n": 1}, seq=2)
    journal = Journal.open(MemoryStore(folder), writer="second")
    journal.append([{"n": 2}], at=1.0)
    return journal


def takes_over(folder):
    """As a driver does: look, claim, begin what is not there. The number of its first commit."""
    view = Journal.read(MemoryStore(folder), keep=True)
    list(view.entries())
    journal = Journal.open(MemoryStore(folder), writer="new", seen=view)
    if journal.header is None:
        journal.create_header({"seed": 8})
    return journal.append([NEWS], at=2.0)


def side_by_side(order):
    """What both came to, and the folder."""
    folder = SharedFolder()
    folder.turns = Turns(repeat(REMOVER))
    journal = begun(folder)
    folder.turns = Turns(order)
    outcomes = folder.turns.run(remover=journal.discard, other=lambda: takes_over(folder))
    return outcomes[REMOVER], outcomes[OTHER], folder


@pytest.mark.parametrize("rest", ["remover first", "other first", "by turns"])
def test_of_one_that_removes_and_one_that_takes_over_one_gives_way(rest):
    then = {"remover first": [REMOVER, OTHER], "other first": [OTHER, REMOVER], "by turns": [REMOVER, OTHER]}[
        rest
    ]
    ends = set()
    for first in count():
        for second in count():
            last = cycle(then) if rest == "by turns" else chain(repeat(then[0], 99), repeat(then[1]))
            removed, taken, folder = side_by_side(chain(repeat(REMOVER, first), repeat(OTHER, second), last))
            where = f"{first} of the one, {second} of the other, then {rest}: {removed!r}, {taken!r}"
            check(folder, removed, taken, where)
            ends.add((type(removed), type(taken)))
            if second > 12:
                break
        if first > 24:
            break
    assert {(type(None), int), (ExperimentFenced, int)} <= ends


def check(folder, removed, taken, where):
    assert not isinstance(taken, ExperimentFenced), where
    third = Journal.open(MemoryStore(folder), writer="third")
    kept = [entry.records for entry in third.entries()]
    if isinstance(taken, int):
        assert [NEWS] in kept, where
        assert third.header is not None, where
    if removed is None and not isinstance(taken, int):
        assert third.header is None, where


def test_what_a_crash_leaves_of_a_removal_opens():
    whole = MemoryFolder()
    journal = begun(whole)
    for number in count(1):
        folder = MemoryFolder(whole.state, dies_at=number)
        journal._store = MemoryStore(folder)
        try:
            journal.discard()
        except Died:
            pass
        else:
            break
        left = MemoryFolder(folder.state)
        entries = len(left.list("log"))
        third = Journal.open(MemoryStore(left), writer="third")
        assert third.header is not None
        assert third.append([NEWS], at=2.0) == entries + 2
    assert number > 5
    assert folder.list("") == []


def test_of_a_log_that_was_taken_over_unseen_the_header_stays():
    """By a release that does not look whether the removal had begun."""
    folder = MemoryFolder()
    journal = begun(folder)

    class Meanwhile(MemoryStore):
        def delete(self, key):
            super().delete(key)
            if key == "log/000000000002.jsonl":
                folder.write("log/000000000005.jsonl", b"a fence")

    journal._store = Meanwhile(folder)
    with pytest.raises(ExperimentFenced, match=r"000000000005\.jsonl: another driver has taken"):
        journal.discard()
    assert HEADER_KEY in folder.list("")
