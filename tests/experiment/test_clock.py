"""What the machine's clock does meanwhile does not matter."""

import time

import pytest

from tune_flows.experiment.clock import session_clock


def test_it_begins_with_unix_time_and_goes_on():
    before = time.time()
    clock = session_clock()
    first, second = clock(), clock()
    assert before <= first <= second <= time.time() + 1


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_changes_nothing(monkeypatch: pytest.MonkeyPatch, jump_s: float):
    clock = session_clock()
    first, now = clock(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump_s)
    assert first <= clock() < first + 60


def test_a_driver_whose_clock_is_behind_begins_where_the_journal_is():
    known = time.time() + 3600
    assert known <= session_clock(known)() < known + 60
