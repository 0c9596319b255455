"""Which checkpoints stay: the best ones, the newest, and those that another trial needs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runner.builders import completed, faulted, go_on, name, ref, reported
from tests.runner.runner_harness import RunnerHarness, scripted
from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.decisions import exploit
from tune_flows.core.events import CheckpointSaved, DriverStarted, RulesChanged, TrialsReopened
from tune_flows.core.keeping import best_checkpoint, surplus_checkpoints
from tune_flows.core.rules import Rules
from tune_flows.core.trial import CheckpointRef, TrialStatus


def by(order, keep=2):
    return Rules(num_to_keep=keep, checkpoint_score_attribute="loss", checkpoint_score_order=order)


def scored(number, iteration, value=None):
    metrics = {} if value is None else {"loss": value}
    checkpoint = ref(number, iteration)
    return CheckpointRef(checkpoint.path, iteration, "", 0, metrics)


def refs(*values):
    """Checkpoints of the iterations 1, 2, ... with these values."""
    return tuple(scored(0, iteration, value) for iteration, value in enumerate(values, 1))


def saved(number, iteration, value=None, lease=1):
    return CheckpointSaved(name(number), lease, scored(number, iteration, value))


@pytest.mark.parametrize(
    ("values", "rules", "dropped"),
    [
        ([3.0, 1.0, 2.0], by("min"), [1]),
        ([3.0, 1.0, 2.0], by("max"), [2]),
        ([1.0, 2.0, 3.0], by("min"), []),  # the best two, and the newest
        ([1.0, 2.0, 3.0], by("min", keep=1), [2]),
        ([1.0, 2.0, None], by("max"), []),
        ([1.0, None, 2.0], by("max"), [2]),
        ([1.0, math.nan, 2.0], by("min"), [2]),
        ([1.0, -math.inf, 2.0], by("min"), [2]),
        ([1.0, 1.0, 1.0], by("max"), [1]),  # of equals the newer one
        ([None, None, None], by("max"), [1]),
        ([None, None, None], by("max", keep=1), [1, 2]),
        ([3.0, 1.0, 2.0], Rules(num_to_keep=1), [1, 2]),
        ([3.0, 1.0, 2.0], Rules(), []),
        ([], by("max"), []),
    ],
)
def test_the_worst_go(values, rules, dropped):
    assert sorted(r.iteration for r in surplus_checkpoints(refs(*values), rules)) == dropped


VALUES = st.lists(st.none() | st.floats() | st.sampled_from([0.0, 1.0]), max_size=8)


@given(values=VALUES, keep=st.integers(1, 4), order=st.sampled_from(["min", "max"]))
def test_the_newest_and_the_best_always_stay(values, keep, order):
    checkpoints = refs(*values)
    gone = surplus_checkpoints(checkpoints, by(order, keep))
    kept = [checkpoint for checkpoint in checkpoints if checkpoint not in gone]
    assert len(kept) <= keep + 1
    assert len(kept) >= min(keep, len(checkpoints))
    if checkpoints:
        assert checkpoints[-1] in kept
        assert best_checkpoint(checkpoints, "loss", order) in kept


@pytest.mark.parametrize(
    ("values", "metric", "mode", "best"),
    [
        ([3.0, 1.0, 2.0], "loss", "min", 2),
        ([3.0, 1.0, 2.0], "loss", "max", 1),
        ([1.0, 1.0, None], "loss", "min", 2),
        ([None, math.nan], "loss", "min", 2),
        ([3.0, 1.0], "other", "min", 2),
        ([3.0, 1.0], None, "min", 2),
    ],
)
def test_the_best_one(values, metric, mode, best):
    found = best_checkpoint(refs(*values), metric, mode)
    assert found is not None
    assert found.iteration == best


def test_none_is_best_of_none():
    assert best_checkpoint((), "loss", "min") is None


def test_the_best_checkpoints_are_kept_and_the_newest():
    desk = RunnerHarness(scripted(every=None), rules=by("min"))
    deleted = []
    for iteration, value in enumerate([5.0, 1.0, 3.0, 4.0, 2.0, None], 1):
        deleted += [
            command.checkpoint.iteration
            for command in desk.commands(saved(0, iteration, value), reported(0, iteration, waits=False))
        ]
    assert deleted == [1, 4, 3]  # the worst first
    assert [held.iteration for held in desk.trial(0).checkpoints] == [2, 5, 6]
    desk.replayed()


def test_a_late_checkpoint_counts_like_any_other():
    desk = RunnerHarness(scripted(every=None), rules=by("max", keep=1))
    desk.step(reported(0, 1, 2, 3, waits=False))
    assert desk.commands(saved(0, 2, 1.0), reported(0, 4, waits=False)) == []
    assert desk.trial(0).checkpoints == (scored(0, 2, 1.0),)
    assert desk.commands(saved(0, 4, 2.0)) == [DeleteCheckpoint(scored(0, 2, 1.0))]
    assert desk.commands(saved(0, 2, 9.0)) == []  # twice, or too late
    assert desk.trial(0).checkpoints == (scored(0, 4, 2.0),)
    desk.replayed()


def test_a_retry_starts_at_the_newest_not_at_the_best():
    desk = RunnerHarness(scripted(every=None), rules=by("min", keep=1), target=1)
    desk.step(saved(0, 1, 0.0), reported(0, 1, waits=False), saved(0, 2, 9.0), reported(0, 2, waits=False))
    assert [held.iteration for held in desk.trial(0).checkpoints] == [1, 2]
    launched = desk.commands(DriverStarted(2, 200.0), seconds=100.0)
    assert launched == []  # no slots known yet
    assert desk.trial(0).checkpoint == scored(0, 2, 9.0)


def test_a_checkpoint_that_another_trial_went_on_from_is_not_deleted():
    desk = RunnerHarness(scripted(says={(1, 1): exploit(name(0), {"x": 0.5})}), rules=by("max", keep=1))
    desk.step(saved(0, 1, 1.0), reported(0, 1))
    desk.step(reported(1, 1))
    copy = desk.trial(1).checkpoint
    assert copy is not None
    assert copy.metrics == {"loss": 1.0}  # what the copied model was worth

    # its own trial drops it for better ones, the clone still has it
    assert desk.commands(saved(0, 2, 2.0), reported(0, 2)) == [go_on(0, 3)]
    assert desk.trial(0).checkpoints == (scored(0, 2, 2.0),)
    # the clone keeps it as its best, then drops it for a better one: nobody has it any more
    assert desk.commands(saved(1, 2, 0.5), reported(1, 2)) == [go_on(1, 3)]
    assert [held.path for held in desk.trial(1).checkpoints] == [copy.path, scored(1, 2).path]
    dropped = [c for c in desk.commands(saved(1, 3, 3.0), reported(1, 3)) if isinstance(c, DeleteCheckpoint)]
    assert {d.checkpoint.path for d in dropped} == {copy.path, scored(1, 2).path}
    desk.replayed()


def test_the_rule_of_the_session_counts():
    desk = RunnerHarness(scripted(every=None), rules=by("max", keep=1))
    desk.step(saved(0, 1, 9.0), reported(0, 1, waits=False), saved(0, 2, 1.0), reported(0, 2, waits=False))
    assert [held.iteration for held in desk.trial(0).checkpoints] == [1, 2]
    desk.step(RulesChanged(Rules(num_to_keep=1)))
    desk.step(saved(0, 3, 1.0), reported(0, 3, waits=False))
    assert [held.iteration for held in desk.trial(0).checkpoints] == [3]
    desk.replayed()


def clone_where_all_are_kept():
    """Trial 1 has two checkpoints when it becomes a copy of trial 0, and saves another one as the copy."""
    desk = RunnerHarness(
        scripted(says={(1, 2): exploit(name(0), {"x": 0.5}), (1, 4): exploit(name(0), {"x": 0.6})})
    )
    desk.step(saved(0, 1), reported(0, 1), saved(1, 1), reported(1, 1))
    desk.step(saved(1, 2), reported(1, 2))
    desk.step(saved(1, 3), reported(1, 3))
    return desk


def paths(refs):
    return [held.path for held in refs]


def test_a_clone_keeps_what_it_saved_before_where_all_are_kept():
    desk = clone_where_all_are_kept()
    clone = desk.trial(1)
    assert paths(clone.checkpoints) == paths([scored(0, 1), scored(1, 3)])
    assert clone.former == (scored(1, 1), scored(1, 2))
    assert desk.commands(reported(1, 4))[:-1] == []  # a copy of the same trial again: no path twice
    assert paths(desk.trial(1).checkpoints) == paths([scored(0, 1)])
    assert paths(desk.trial(1).former) == paths([scored(1, 1), scored(1, 2), scored(1, 3)])
    desk.replayed()


def test_what_a_clone_kept_goes_with_the_next_copy_when_not_all_are_kept_any_more():
    desk = clone_where_all_are_kept()
    desk.step(RulesChanged(Rules(num_to_keep=1)))
    dropped = [c for c in desk.commands(reported(1, 4)) if isinstance(c, DeleteCheckpoint)]
    own = paths([scored(1, 1), scored(1, 2), scored(1, 3)])
    assert paths(d.checkpoint for d in dropped) == own  # trial 0 still has the one that was copied
    assert desk.trial(1).former == ()
    desk.replayed()


def test_what_a_clone_kept_goes_when_it_begins_from_scratch():
    desk = clone_where_all_are_kept()
    desk.step(completed(0), faulted(1))
    assert desk.trial(1).status is TrialStatus.ERRORED
    dropped = desk.commands(TrialsReopened((name(1),), restart=True))[:3]
    assert paths(d.checkpoint for d in dropped) == paths([scored(1, 1), scored(1, 2), scored(1, 3)])
    assert desk.trial(1).kept == ()
    desk.replayed()
