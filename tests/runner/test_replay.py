from tune_flows.core.decisions import (
    SearchExhausted,
    StopDecided,
    TrialContinued,
    TrialDecided,
    TrialOverruled,
    TrialSuggested,
)
from tune_flows.core.trial import Action
from tune_flows.runner.replay import DecisionReplay, ReplayMismatch

A, B = TrialContinued("a", 3), TrialContinued("b", 3)
SUGGESTED = TrialSuggested("t", {})
OVERRULED = TrialOverruled("c", Action.STOP, "x")


def loaded(*records):
    tape = DecisionReplay()
    tape.load(records)
    return tape


def test_live_what_is_proposed_counts():
    tape = DecisionReplay()
    assert tape.decide(A, TrialContinued, trial_id="a") == ([], A)
    assert tape.decide(None, TrialContinued) == ([], None)
    assert (tape.is_replay, tape.differences) == (False, [])


def test_on_replay_what_was_recorded_counts():
    tape = loaded(A, B)
    assert tape.is_replay
    assert tape.decide(TrialContinued("a", 9), TrialContinued, trial_id="a") == ([], A)
    assert tape.decide(None, TrialContinued, trial_id="a") == ([], None)
    assert tape.decide(B, TrialContinued, trial_id="b") == ([], B)
    assert tape.unload() == []
    assert tape.differences == [ReplayMismatch(A, TrialContinued("a", 9))]


def test_what_was_recorded_and_is_not_proposed_today_counts_if_it_is_about_the_same():
    decided = TrialDecided("a", 3, Action.STOP)
    tape = loaded(decided)
    assert tape.decide(None, TrialDecided, trial_id="a", iteration=2) == ([], None)
    assert tape.differences == []
    assert tape.decide(None, TrialDecided, trial_id="a", iteration=3) == ([], decided)
    assert tape.differences == [ReplayMismatch(decided, None)]


def test_a_question_about_nothing_in_particular_is_answered_when_it_is_asked_again():
    tape = loaded(SUGGESTED)
    assert tape.decide(None, TrialSuggested, SearchExhausted) == ([], None)
    assert tape.decide(SUGGESTED, TrialSuggested, SearchExhausted) == ([], SUGGESTED)
    assert tape.differences == []


def test_a_question_may_be_answered_by_several_kinds():
    tape = loaded(SearchExhausted())
    assert tape.decide(SUGGESTED, TrialSuggested, SearchExhausted) == ([], SearchExhausted())
    assert tape.differences == [ReplayMismatch(SearchExhausted(), SUGGESTED)]


def test_what_does_not_come_up_today_is_caught_up_with_before_the_next_answer():
    tape = loaded(OVERRULED, A)
    assert tape.decide(None, TrialContinued, trial_id="a") == ([], None)
    assert tape.decide(A, TrialContinued, trial_id="a") == ([OVERRULED], A)
    assert tape.differences == [ReplayMismatch(OVERRULED, None)]


def test_what_no_question_took_is_a_difference():
    tape = loaded(StopDecided("x"))
    assert tape.decide(A, TrialContinued, trial_id="a") == ([], None)
    assert tape.unload() == [StopDecided("x")]
    assert tape.differences == [ReplayMismatch(None, A), ReplayMismatch(StopDecided("x"), None)]
    assert not tape.is_replay


def test_a_difference_says_what_was_and_what_would_be():
    assert str(ReplayMismatch(A, None)) == f"journal: {A}; now: nothing"
    assert str(ReplayMismatch(None, B)) == f"journal: nothing; now: {B}"
