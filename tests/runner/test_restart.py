"""A driver dies; the next one knows what was decided, and nothing of the workers is left."""

from typing import ClassVar

import pytest

from tests.runner.builders import (
    completed,
    done,
    go_on,
    launch,
    name,
    pause,
    paused,
    ref,
    reported,
    saved,
    stop,
)
from tests.runner.runner_harness import RunnerHarness, ScriptedScheduler, ScriptedSearch, scripted
from tune_flows.core.decisions import PAUSE, STOP, ExperimentEnded, TrialOverruled, exploit
from tune_flows.core.events import ExperimentExtended, RulesChanged, StopRequested
from tune_flows.core.rules import Rules
from tune_flows.core.trial import Action, TrialStatus

STOPPED = "stopped by tests.runner.runner_harness:Scripted"


def test_what_ran_is_launched_again_from_its_checkpoint_or_from_scratch():
    desk = RunnerHarness(target=3)
    desk.step(saved(0, 1), reported(0, 1), reported(1, 1))
    desk.step(reported(0, 2))
    assert desk.restart() == [
        launch(0, 3, lease=2, iteration=2, checkpoint=ref(0, 1)),
        launch(1, 2, lease=2, iteration=1),
    ]
    assert desk.commands(reported(0, 3), reported(1, 2)) == []  # a worker of the driver before
    assert desk.commands(reported(0, 3, lease=2)) == [go_on(0, 4, lease=2)]
    desk.replayed()


class Promotes(ScriptedScheduler):
    """Lets trial 0 go on, before any other, once trial 1 has reported."""

    says: ClassVar = {(0, 1): PAUSE}

    def choose_trial_to_run(self, candidates):
        promoted = "result 1 1" in self._heard
        status = TrialStatus.PAUSED if promoted else TrialStatus.PENDING
        return next((trial.trial_id for trial in candidates if trial.status is status), None)


def test_what_ran_keeps_its_slot_whatever_waits_for_one():
    desk = RunnerHarness(Promotes(), slots=1, target=2)
    desk.step(reported(0, 1))
    assert desk.commands(paused(0)) == [launch(1, 1)]
    assert desk.commands(reported(1, 1)) == [go_on(1, 2)]
    assert desk.restart() == [launch(1, 2, lease=2, iteration=1)]
    desk.replayed()


def test_a_clone_that_was_not_told_yet_is_launched_as_the_clone():
    desk = RunnerHarness(scripted(says={(1, 1): exploit(name(0), {"x": 0.5})}))
    desk.step(saved(0, 1), reported(0, 1), reported(1, 1, waits=False))
    assert desk.restart() == [
        launch(0, 2, lease=2, iteration=1, checkpoint=ref(0, 1)),
        launch(1, 2, lease=2, iteration=1, checkpoint=ref(0, 1), config={"x": 0.5}),
    ]
    assert desk.commands(reported(1, 2, lease=2)) == [go_on(1, 3, lease=2)]


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_trial_that_was_told_to_pause_is_paused(is_saved):
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE}, resumes=[]), slots=1, target=2)
    desk.step(*([saved(0, 1)] if is_saved else []), reported(0, 1))
    assert desk.trial(0).pending is Action.PAUSE
    assert desk.restart() == [launch(1, 1)]
    assert (desk.trial(0).status, desk.trial(0).pending) == (TrialStatus.PAUSED, None)


@pytest.mark.parametrize("is_saved", [True, False])
@pytest.mark.parametrize("checkpoint_at_end", [True, False])
def test_a_trial_that_was_told_to_stop_owes_at_most_its_last_checkpoint(is_saved, checkpoint_at_end):
    rules = Rules(checkpoint_at_end=checkpoint_at_end)
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), rules=rules, slots=1, target=2)
    desk.step(*([saved(0, 1)] if is_saved else []), reported(0, 1))
    ordered = desk.restart()
    if checkpoint_at_end and not is_saved:
        assert ordered == [launch(0, 1, lease=2, iteration=1)]
        assert desk.commands(reported(0, lease=2)) == [stop(0, STOPPED, lease=2)]
        assert desk.commands(saved(0, 1, lease=2), completed(0, STOPPED, lease=2)) == [launch(1, 1)]
    else:
        assert ordered == [launch(1, 1)]
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, STOPPED)
    assert desk.search._heard == ["result 0 1", "complete 0"]
    desk.replayed()


def test_a_trial_that_was_done_is_over():
    desk = RunnerHarness(slots=1, target=2)
    desk.step(done(0, 1))
    assert desk.restart() == [launch(1, 1)]
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, "done")
    assert desk.search._heard == ["complete 0"]


def test_a_trial_that_was_stopped_before_its_first_result_owes_nothing():
    desk = RunnerHarness(scripted(others={"add 1": {name(0): STOP}}), rules=Rules(checkpoint_at_end=True))
    assert desk.trial(0).pending is Action.STOP
    assert desk.restart() == [launch(1, 1, lease=2)]
    assert desk.trial(0).status is TrialStatus.TERMINATED


@pytest.mark.parametrize("checkpoint_at_end", [True, False])
def test_an_experiment_that_was_being_stopped_is_over(checkpoint_at_end):
    says = {(0, 1): PAUSE, (1, 1): STOP}
    rules = Rules(checkpoint_at_end=checkpoint_at_end)
    desk = RunnerHarness(scripted(says=says), rules=rules, slots=3, target=5)
    desk.step(reported(0, 1), reported(1, 1))
    desk.step(StopRequested("by hand"))
    assert desk.restart() == []
    assert desk.state.ended == "by hand"
    assert [desk.trial(number).reason for number in range(3)] == ["by hand", STOPPED, "by hand"]
    assert desk.search._heard.count("complete 0") == 1
    desk.replayed()


def test_the_driver_dies_twice_in_a_row():
    desk = RunnerHarness(
        scripted(says={(0, 1): STOP}), rules=Rules(checkpoint_at_end=True), slots=1, target=1
    )
    desk.step(reported(0, 1))
    assert desk.restart() == [launch(0, 1, lease=2, iteration=1)]
    assert desk.restart() == [launch(0, 1, lease=3, iteration=1)]
    assert desk.commands(reported(0, lease=2), completed(0, "x", lease=2)) == []
    desk.step(completed(0, "x", lease=3))
    assert desk.state.ended == "all trials done"


def test_a_driver_that_died_before_its_first_word_changes_nothing():
    desk = RunnerHarness(target=1)
    desk.step(reported(0, 1), completed(0))
    assert desk.restart() == []
    assert desk.state.ended == "all trials done"
    assert desk.commands(ExperimentExtended(2)) == [launch(1, 1)]


def test_a_replay_goes_by_the_rules_of_the_time():
    """With today's rules more would have been asked, and a search with a generator would have moved on."""
    desk = RunnerHarness(rules=Rules(max_concurrent_trials=1), slots=3, target=9)
    desk.step(completed(0))
    desk.step(RulesChanged(Rules(max_concurrent_trials=2, num_to_keep=1)))
    assert desk.commands(completed(1)) == [launch(3, 1)]
    desk.replayed()


def test_a_policy_that_decides_differently_today_is_told_what_happened():
    desk = RunnerHarness(
        scripted(says={(0, 1): STOP}, others={"complete 0": {name(1): STOP}}), slots=3, target=3
    )
    desk.step(reported(0, 1))
    desk.step(reported(2, 1), completed(0), completed(1))
    desk._fresh = ScriptedSearch(), scripted()
    search, scheduler = ScriptedSearch(), scripted()
    runner = desk._runner(search, scheduler)
    import json

    from tune_flows.core.codec import record_from_json

    for at, lines in desk.journal:
        runner.replay([record_from_json(json.loads(line)) for line in lines], at)
    assert runner.state == desk.state
    assert search._heard == desk.search._heard
    assert all(line.startswith(f"scheduler {scheduler.kind()}: ") for line in runner.differences)
    assert [line.partition(";")[2] for line in runner.differences] == [" now: nothing"] * 2
    assert "TrialDecided(trial_id='trial-00000'" in runner.differences[0]
    assert TrialOverruled(name(1), Action.STOP, STOPPED).trial_id in runner.differences[1]


def test_a_pause_that_was_ordered_is_ordered_anew_in_the_next_lease():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE, (0, 2): PAUSE}), slots=1, target=1)
    assert desk.commands(reported(0, 1)) == [pause(0)]
    assert desk.commands(paused(0)) == [launch(0, 2, lease=2, iteration=1)]
    assert desk.commands(reported(0, 2, lease=2)) == [pause(0, lease=2)]
    step = desk.step(completed(0, lease=2))
    assert step.records[-1] == ExperimentEnded("all trials done")
