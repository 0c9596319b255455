"""A session that was stopped: who goes on next time, its clock, its interim checkpoints."""

import pytest

from tune_flows.core.decisions import TrialDecided, TrialLaunched, TrialSuggested
from tune_flows.core.events import (
    CapacityChanged,
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    ExperimentExtended,
    ResultsReported,
    RulesChanged,
    TrialCompleted,
    TrialPaused,
)
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, CheckpointRef, Result, TrialStatus

A, B, C = (f"trial-0000{i}" for i in range(3))


def saved(iteration, *, lease=1, interim=False):
    return CheckpointSaved(A, lease, CheckpointRef(f"{A}/{lease}-{iteration}", iteration, "", 0), interim)


def done(*iterations, lease=1):
    return ResultsReported(A, lease, tuple(Result(i, {}, 1.0, float(i), 0.0) for i in iterations))


def folded(*records):
    """A runs and has done three iterations, B runs and was told to pause, C is paused."""
    state = ExperimentState()
    begun = [
        DriverStarted(1, at=100.0),
        ExperimentExtended(5),
        CapacityChanged(3),
        *(TrialSuggested(i, {}) for i in (A, B, C)),
        *(TrialLaunched(i, 1, until=9) for i in (A, B, C)),
        done(1, 2, 3),
        TrialPaused(C, 1),
        TrialDecided(B, 0, Action.PAUSE),
    ]
    for record in (*begun, *records):
        state.apply(record)
    return state


STOPPED = DriverStopped(160.0, "cancelled")
AGAIN = DriverStarted(2, at=1000.0)


def test_what_ran_is_paused_and_goes_on_with_the_next_session():
    stopped = folded(STOPPED)
    assert stopped.stopped == "cancelled"
    assert {trial.status for trial in stopped.trials.values()} == {TrialStatus.PAUSED}
    assert list(stopped.held) == [A]  # the scheduler has paused the others

    again = folded(STOPPED, AGAIN)
    assert [trial.status for trial in again.trials.values()] == ["PENDING", "PAUSED", "PAUSED"]
    assert (again.stopped, again.held) == (None, {})


def test_downtime_does_not_count():
    assert folded(STOPPED).elapsed_at(500.0) == 60.0
    assert folded(STOPPED, AGAIN).elapsed_at(1010.0) == 70.0


def test_a_second_copy_changes_nothing():
    assert folded(STOPPED, DriverStopped(170.0, "again")) == folded(STOPPED)


def test_a_trial_that_was_told_to_stop_is_not_forgotten():
    stopped = folded(TrialDecided(A, 3, Action.STOP, "too bad"), STOPPED)
    assert stopped.trials[A].pending is Action.STOP
    assert list(stopped.held) == [A]


def test_an_interim_checkpoint_is_where_only_the_trial_itself_goes_on():
    trial = folded(saved(2), saved(3, interim=True), STOPPED, AGAIN).trials[A]
    assert trial.start is not None
    assert trial.start.iteration == 3
    assert [checkpoint.iteration for checkpoint in trial.checkpoints] == [2]


def test_one_that_is_not_newer_is_void():
    assert folded(saved(3), saved(3, interim=True)).trials[A].interim is None


@pytest.mark.parametrize(("iteration", "kept"), [(2, True), (4, False)])
def test_the_next_regular_one_replaces_it(iteration, kept):
    session = [STOPPED, AGAIN, TrialLaunched(A, 2, until=9), done(4, lease=2), saved(iteration, lease=2)]
    assert (folded(saved(3, interim=True), *session).trials[A].interim is not None) is kept


@pytest.mark.parametrize("at_end", [True, False])
def test_the_end_of_the_trial_takes_it_or_drops_it(at_end):
    records = [
        RulesChanged(Rules(checkpoint_at_end=at_end)),
        TrialDecided(A, 3, Action.STOP, "too bad"),
        saved(3, interim=True),
        TrialCompleted(A, 1, "stopped"),
    ]
    trial = folded(*records).trials[A]
    assert trial.interim is None
    assert [checkpoint.iteration for checkpoint in trial.checkpoints] == [3] * at_end
