from dataclasses import replace
from itertools import product

import pytest

from tune_flows.core.errors import InvalidTransition
from tune_flows.core.lifecycle import ALLOWED, transition
from tune_flows.core.trial import Trial, TrialStatus

PAIRS = list(product(TrialStatus, TrialStatus))
S = TrialStatus


def test_the_table():
    assert {
        (S.PENDING, S.RUNNING),
        (S.RUNNING, S.PAUSED),
        (S.RUNNING, S.PENDING),
        (S.RUNNING, S.TERMINATED),
        (S.RUNNING, S.ERRORED),
        (S.PAUSED, S.RUNNING),
        (S.PAUSED, S.PENDING),
        (S.PENDING, S.TERMINATED),
        (S.PAUSED, S.TERMINATED),
    } == ALLOWED


def test_nothing_leads_out_of_a_final_status():
    assert [status for status in TrialStatus if status.is_final] == [S.ERRORED, S.TERMINATED]
    assert not any(before.is_final for before, _ in ALLOWED)


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair in ALLOWED])
def test_allowed_moves_move_and_change_what_they_are_told_to(before, after):
    trial = Trial("trial-00007", {"x": 1}, before, iteration=3, lease=2, until=9)
    assert transition(trial, after, until=None) == replace(trial, status=after, until=None)
    assert trial.status is before


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair not in ALLOWED])
def test_illegal_moves_raise_with_the_story_and_change_nothing(before, after):
    trial = Trial("trial-00007", {}, before, iteration=3, lease=2, failures=1)
    copy = replace(trial)
    with pytest.raises(InvalidTransition) as raised:
        transition(trial, after, until=5)
    assert trial == copy
    story = f"trial-00007 {before} at iteration 3, lease 2, 1 failure(s): cannot become {after}"
    assert str(raised.value).startswith(f"{story}; allowed from here: ")
    for allowed in (f"{before} -> {to}" for to in TrialStatus if (before, to) in ALLOWED):
        assert allowed in str(raised.value)
    assert ("none, it is final" in str(raised.value)) == before.is_final
