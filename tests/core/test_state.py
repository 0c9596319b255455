import copy
from dataclasses import replace

import pytest

from tune_flows.core.decisions import (
    CheckpointDropped,
    ExperimentEnded,
    FaultJudged,
    SearchExhausted,
    StopDecided,
    TrialContinued,
    TrialDecided,
    TrialLaunched,
    TrialOverruled,
    TrialSuggested,
)
from tune_flows.core.errors import InvalidTransition
from tune_flows.core.events import (
    CapacityChanged,
    CheckpointSaved,
    DriverStarted,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    RulesChanged,
    StopRequested,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
    TrialsReopened,
)
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, CheckpointRef, Result, TrialStatus

A, B = "trial-00000", "trial-00001"


def result(iteration, *, done=False, **metrics):
    return Result(iteration, metrics, 1.0, float(iteration), 0.0, done)


def saved(trial_id, lease, iteration):
    return CheckpointSaved(trial_id, lease, CheckpointRef(f"ckpt/{trial_id}/{iteration}", iteration, "", 0))


def folded(*records):
    state = ExperimentState()
    for record in (DriverStarted(1, at=100.0), ExperimentExtended(5), CapacityChanged(2), *records):
        state.apply(record)
    return state


def running(*records):
    """A and B run, A has done three iterations and saved a checkpoint at the second one."""
    return folded(
        TrialSuggested(A, {"x": 1}),
        TrialSuggested(B, {"x": 2}),
        TrialLaunched(A, 1, until=9),
        TrialLaunched(B, 1, until=None),
        saved(A, 1, 2),
        ResultsReported(A, 1, (result(1), result(2), result(3))),
        *records,
    )


def unchanged(state, *records):
    before = copy.deepcopy(state)
    for record in records:
        state.apply(record)
    return state == before


def test_results_are_counted_once():
    state = running()
    assert state.trials[A].iteration == 3
    assert unchanged(state, ResultsReported(A, 1, (result(1), result(2), result(3)), waits=True))
    state.apply(ResultsReported(A, 1, (result(3), result(4), result(4), result(5))))
    assert (state.trials[A].iteration, state.trials[A].last_result) == (5, result(5))


def test_a_result_that_says_done_ends_the_trial_once_its_worker_is_free():
    state = running(ResultsReported(A, 1, (result(4, done=True),)))
    assert (state.trials[A].status, state.trials[A].pending) == (TrialStatus.RUNNING, Action.STOP)
    state.apply(TrialCompleted(A, 1, "stop: x >= 1"))
    assert state.trials[A].status is TrialStatus.TERMINATED
    assert (state.trials[A].reason, state.trials[A].pending, state.trials[A].until) == (
        "stop: x >= 1",
        None,
        None,
    )
    assert list(state.live) == [B]


STALE = [
    ResultsReported(A, 0, (result(7),), waits=True),
    ResultsReported("trial-99999", 1, (result(7),)),
    saved(A, 0, 7),
    saved("trial-99999", 1, 7),
    TrialPaused(A, 2),
    TrialCompleted(A, 0, "returned"),
    TrialFaulted(A, 0, FaultKind.TRAINABLE, "boom"),
    DriverStarted(1, at=500.0),
    DriverStarted(0, at=500.0),
    ExperimentExtended(5),
    CapacityChanged(2),
]


@pytest.mark.parametrize("record", STALE, ids=lambda record: type(record).__name__)
def test_what_is_late_changes_nothing(record):
    assert unchanged(running(), record)


@pytest.mark.parametrize(
    "end",
    [
        TrialPaused(A, 1),
        TrialCompleted(A, 1, "returned"),
        TrialFaulted(A, 1, FaultKind.INFRASTRUCTURE, "lost"),
        saved(A, 1, 3),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_second_copy_changes_nothing(end):
    judged = [FaultJudged(A, retry=True)] if isinstance(end, TrialFaulted) else []
    assert unchanged(running(end, *judged), end)


def test_after_its_lease_nothing_of_a_worker_counts():
    state = running(TrialPaused(A, 1))
    assert unchanged(state, ResultsReported(A, 1, (result(4),)), saved(A, 1, 4), TrialCompleted(A, 1, "x"))
    state.apply(TrialLaunched(A, 2, until=None))
    assert unchanged(state, ResultsReported(A, 1, (result(4),)), saved(A, 1, 4), TrialPaused(A, 1))
    state.apply(ResultsReported(A, 2, (result(4),)))
    assert state.trials[A].iteration == 4


def test_a_stop_beats_a_pause_in_any_order():
    stop = TrialOverruled(A, Action.STOP, "stopped by hand")
    pause = TrialOverruled(A, Action.PAUSE, "paused by hand")
    for first, second in ((stop, pause), (pause, stop)):
        state = running(first, second)
        assert (state.trials[A].pending, state.trials[A].reason) == (Action.STOP, "stopped by hand")
        state.apply(TrialPaused(A, 1))  # the worker had been told to pause
        assert state.trials[A].status is TrialStatus.TERMINATED
        assert (state.trials[A].reason, state.trials[A].pending) == ("stopped by hand", None)


@pytest.mark.parametrize("paused", [False, True])
def test_a_stop_without_a_worker_ends_the_trial_at_once(paused):
    records = [TrialLaunched(A, 1, until=None), TrialPaused(A, 1)] if paused else []
    state = folded(TrialSuggested(A, {}), *records, TrialOverruled(A, Action.STOP, "lost a halving"))
    assert (state.trials[A].status, state.trials[A].reason) == (TrialStatus.TERMINATED, "lost a halving")
    assert not state.live


def test_a_clone_has_the_config_and_checkpoint_of_another_but_its_own_count():
    state = running(TrialDecided(B, 7, Action.CONTINUE, source=A, config={"x": 1.2}))
    assert state.trials[B].config == {"x": 1.2}
    assert state.trials[B].checkpoints == (replace(state.trials[A].checkpoints[0], iteration=7),)
    assert unchanged(state, saved(B, 1, 7))  # its own of the same iteration comes too late


def test_checkpoints_are_kept_oldest_first_and_dropped_by_path():
    state = running(saved(A, 1, 3))
    assert [c.iteration for c in state.trials[A].checkpoints] == [2, 3]
    state.apply(CheckpointDropped(A, f"ckpt/{A}/2"))
    assert [c.iteration for c in state.trials[A].checkpoints] == [3]
    assert unchanged(state, saved(A, 1, 2))


@pytest.mark.parametrize(
    ("kind", "counts"), [(FaultKind.TRAINABLE, (1, 0)), (FaultKind.INFRASTRUCTURE, (0, 1))]
)
def test_faults_are_counted_by_whose_they_are(kind, counts):
    state = running(TrialFaulted(A, 1, kind, "boom", "Traceback"))
    trial = state.trials[A]
    assert (trial.failures, trial.infra_failures) == counts
    assert (trial.error, trial.status) == ("boom\nTraceback", TrialStatus.RUNNING)
    again = copy.deepcopy(state)
    again.apply(FaultJudged(A, retry=True))
    assert (again.trials[A].status, again.trials[A].until) == (TrialStatus.PENDING, None)
    state.apply(FaultJudged(A, retry=False))
    assert (state.trials[A].status, state.trials[A].reason) == (TrialStatus.ERRORED, "error")


@pytest.mark.parametrize(
    "lost", [DriverStarted(2, at=200.0), FaultJudged(A, retry=True)], ids=["driver", "worker"]
)
@pytest.mark.parametrize(
    ("told", "status", "pending"),
    [
        ([], TrialStatus.PENDING, None),
        ([TrialOverruled(A, Action.PAUSE, "")], TrialStatus.PAUSED, None),
        ([TrialOverruled(A, Action.STOP, "")], TrialStatus.PENDING, Action.STOP),
    ],
    ids=["told nothing", "told to pause", "told to stop"],
)
def test_a_trial_that_loses_its_worker_keeps_what_it_was_told(lost, told, status, pending):
    trial = running(*told, lost).trials[A]
    assert (trial.status, trial.pending, trial.until, trial.iteration, trial.lease) == (
        status,
        pending,
        None,
        3,
        1,
    )
    assert trial.checkpoint is not None


def test_a_new_driver_begins_with_no_slots():
    state = running(DriverStarted(2, at=200.0))
    assert (state.epoch, state.slots) == (2, 0)
    assert state.trials[B].status is TrialStatus.PENDING


def test_downtime_does_not_count():
    state = folded()
    state.at(130.0)
    assert (state.elapsed_s, state.elapsed_at(150.0)) == (30.0, 50.0)
    state.apply(DriverStarted(2, at=1000.0))
    assert state.elapsed_s == 30.0
    state.at(1005.0)
    assert state.elapsed_s == 35.0
    state.at(1001.0)
    assert state.elapsed_s == 35.0


def test_a_driver_whose_clock_is_behind_counts_no_second_twice():
    state = folded()
    state.at(130.0)
    state.apply(DriverStarted(2, at=110.0))
    state.at(110.0)
    assert state.elapsed_s == 30.0
    state.at(135.0)
    assert state.elapsed_s == 35.0


def test_an_extension_carries_on_what_had_ended():
    state = folded(SearchExhausted(), StopDecided("fail_fast"), ExperimentEnded("fail_fast"))
    assert not state.may_create
    assert unchanged(state, ExperimentExtended(5))
    state.apply(ExperimentExtended(6))
    assert (state.target, state.exhausted, state.stopping, state.ended) == (6, False, None, None)
    assert state.may_create


@pytest.mark.parametrize("restart", [False, True])
def test_a_trial_that_is_over_has_another_life(restart):
    state = folded(
        TrialSuggested(A, {"x": 1}),
        TrialSuggested(B, {"x": 2}),
        TrialSuggested("trial-c", {"x": 3}),
        TrialLaunched(A, 1, None),
        saved(A, 1, 1),
        ResultsReported(A, 1, (result(1),)),
        TrialFaulted(A, 1, FaultKind.TRAINABLE, "boom"),
        FaultJudged(A, retry=False),
        TrialOverruled("trial-c", Action.STOP, "stopped"),
        ExperimentEnded("by hand"),
    )
    reopened = TrialsReopened((A, B, "stranger"), restart)
    state.apply(reopened)
    trial = state.trials[A]
    assert (trial.status, trial.lease, trial.failures, trial.reason) == (TrialStatus.PENDING, 1, 0, None)
    assert (trial.iteration, len(trial.checkpoints), trial.last_result is None) == (
        (0, 0, True) if restart else (1, 1, False)
    )
    assert list(state.live) == [A, B]
    assert state.ended is None
    assert unchanged(state, reopened)


def test_the_first_reason_to_stop_stands():
    state = folded(StopRequested("by hand"), StopDecided("time budget"))
    assert state.stopping == "by hand"
    assert not state.may_create


def test_trials_may_be_created_up_to_the_target():
    state = folded(ExperimentExtended(2), TrialSuggested(A, {}))
    assert state.may_create
    state.apply(TrialSuggested(B, {}))
    assert not state.may_create
    state.apply(ExperimentExtended(None))
    assert state.may_create
    state.apply(SearchExhausted())
    assert not state.may_create


def test_rules_are_part_of_the_history():
    assert folded(RulesChanged(Rules(max_failures=3))).rules == Rules(max_failures=3)


def test_by_status_names_every_status():
    assert running().by_status() == dict.fromkeys(TrialStatus, 0) | {TrialStatus.RUNNING: 2}


def test_a_continuation_moves_the_decision_point():
    assert running(TrialContinued(A, 27)).trials[A].until == 27


def test_an_illegal_record_raises_and_changes_nothing():
    state = running()
    before = copy.deepcopy(state)
    with pytest.raises(InvalidTransition, match="trial-00000 RUNNING at iteration 3"):
        state.apply(TrialLaunched(A, 2, until=None))
    with pytest.raises(TypeError, match="not a record"):
        state.apply("stop")  # pyright: ignore[reportArgumentType]
    assert state == before
