"""What happens -> exactly what is ordered, for every path of a trial."""

import pytest

from tests.runner.builders import (
    completed,
    done,
    faulted,
    go_on,
    launch,
    name,
    pause,
    paused,
    ref,
    reported,
    result,
    saved,
    stop,
)
from tests.runner.runner_harness import RunnerHarness, ScriptedSearch, scripted
from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.decisions import (
    PAUSE,
    STOP,
    YIELD,
    Decision,
    ExperimentEnded,
    FaultJudged,
    SearchExhausted,
    StopDecided,
    TrialContinued,
    TrialDecided,
    TrialLaunched,
    TrialOverruled,
    TrialSuggested,
    exploit,
)
from tune_flows.core.errors import MetricNotReported, PolicyError
from tune_flows.core.events import (
    CapacityChanged,
    DriverStarted,
    ExperimentExtended,
    StopRequested,
    TrialsReopened,
)
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.trial import Action, TrialStatus


def unwilling():
    scheduler = scripted()
    type(scheduler).choose_trial_to_run = lambda self, candidates: None
    return scheduler


STOPPED = "stopped by tests.runner.runner_harness:Scripted"


def test_every_free_slot_gets_a_trial():
    desk = RunnerHarness(slots=2, target=3, start=False)
    step = desk.start()
    assert list(step.commands) == [launch(0, 1), launch(1, 1)]
    assert list(step.records)[3:] == [
        TrialSuggested(name(0), {"x": 0}),
        TrialLaunched(name(0), 1, 1),
        TrialSuggested(name(1), {"x": 1}),
        TrialLaunched(name(1), 1, 1),
    ]
    assert desk.scheduler._heard == ["add 0", "add 1"]
    desk.replayed()


def test_a_waiting_trial_goes_on_to_the_next_decision():
    desk = RunnerHarness(scripted(every=3))
    step = desk.step(reported(0, 1, 2, waits=False), reported(0, 3))
    assert list(step.commands) == [go_on(0, 6)]
    assert step.records[-1] == TrialContinued(name(0), 6)
    assert desk.search._heard == ["result 0 1", "result 0 2", "result 0 3"]


def test_without_a_decision_a_trial_runs_to_its_end():
    desk = RunnerHarness(scripted(every=None), slots=1, target=1)
    assert desk.trial(0).until is None
    assert desk.commands(reported(0, 1, 2, waits=False)) == []
    assert desk.commands(done(0, 3)) == []
    step = desk.step(completed(0, "stop: score >= 1"))
    assert list(step.records)[1:] == [ExperimentEnded("all trials done")]
    assert desk.trial(0).reason == "stop: score >= 1"
    heard = [what for what in desk.scheduler._heard if what != "no new trials"]
    assert heard == ["add 0", "result 0 1", "result 0 2", "complete 0"]
    assert desk.search._heard == ["result 0 1", "result 0 2", "complete 0"]


def test_a_trial_that_returns_makes_room():
    desk = RunnerHarness(target=3)
    desk.step(reported(0, 1))
    assert desk.commands(completed(0)) == [launch(2, 1)]
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, "returned")
    assert desk.search._heard == ["result 0 1", "complete 0"]


def test_the_scheduler_stops_a_trial():
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), target=3)
    step = desk.step(reported(0, 1))
    assert list(step.commands) == [stop(0, STOPPED)]
    assert step.records[-1] == TrialDecided(name(0), 1, Action.STOP, STOPPED)
    assert desk.search._heard == ["result 0 1", "complete 0"]
    assert desk.commands(completed(0, STOPPED)) == [launch(2, 1)]
    assert desk.search._heard == ["result 0 1", "complete 0"]
    assert desk.trial(0).reason == STOPPED


def test_a_decision_that_waits_for_its_worker_is_carried_out_when_that_waits():
    desk = RunnerHarness(scripted(says={(0, 1): STOP, (1, 1): PAUSE}))
    assert desk.commands(reported(0, 1, waits=False), reported(1, 1, waits=False)) == []
    assert desk.commands(reported(0), reported(1)) == [stop(0, STOPPED), pause(1)]


def test_a_paused_trial_is_resumed_from_its_checkpoint():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE}, resumes=[0]), target=3)
    step = desk.step(reported(0, 1))
    assert list(step.commands) == [pause(0)]
    assert step.records[-1] == TrialDecided(name(0), 1, Action.PAUSE)
    assert desk.commands(saved(0, 1), paused(0)) == [launch(2, 1)]
    assert desk.commands(completed(1)) == [launch(0, 2, lease=2, iteration=1, checkpoint=ref(0, 1))]


def test_a_pause_saves_nothing_twice():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE}, saves=True))
    assert desk.trial(0).checkpoint is None
    assert desk.commands(saved(0, 1), reported(0, 1)) == [pause(0, save=False)]
    assert desk.commands(paused(0)) == [launch(0, 2, lease=2, iteration=1, save_at=2, checkpoint=ref(0, 1))]


@pytest.mark.parametrize(
    ("target", "expected"),
    [(2, [go_on(0, 2), go_on(1, 2)]), (3, [pause(0), pause(1)])],
    ids=["nobody waits", "a new one waits"],
)
def test_yield_pauses_when_somebody_else_wants_the_slot(target, expected):
    desk = RunnerHarness(scripted(says={(0, 1): YIELD, (1, 1): YIELD}), target=target)
    assert desk.commands(reported(0, 1), reported(1, 1)) == expected


def test_yield_pauses_for_a_paused_trial():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE, (1, 1): YIELD, (1, 2): YIELD}), slots=1, target=2)
    desk.step(reported(0, 1))
    assert desk.commands(paused(0)) == [launch(1, 1)]
    assert desk.commands(reported(1, 1)) == [pause(1)]


def test_exploit_goes_on_from_the_checkpoint_of_another():
    desk = RunnerHarness(scripted(says={(1, 1): exploit(name(0), {"x": 0.5})}, saves=True))
    assert desk.commands(saved(0, 1), reported(0, 1)) == [go_on(0, 2, save_at=2)]
    step = desk.step(saved(1, 1), reported(1, 1))
    copy = ref(0, 1)
    assert list(step.commands) == [go_on(1, 2, save_at=2, config={"x": 0.5}, checkpoint=copy)]
    assert TrialDecided(name(1), 1, Action.CONTINUE, source=name(0), config={"x": 0.5}) in step.records
    assert (desk.trial(1).config, desk.trial(1).checkpoints) == ({"x": 0.5}, (copy,))
    assert desk.commands(reported(1, 2)) == [go_on(1, 3, save_at=3)]


def test_exploit_keeps_the_count_of_the_clone():
    desk = RunnerHarness(scripted(says={(1, 3): exploit(name(0), {"x": 0.5})}))
    desk.step(saved(0, 1), reported(0, 1), reported(1, 1))
    desk.step(reported(1, 2))
    assert desk.commands(reported(1, 3)) == [go_on(1, 4, config={"x": 0.5}, checkpoint=ref(0, 1, at=3))]


def test_exploit_reaches_a_worker_that_waits_a_moment_later():
    desk = RunnerHarness(scripted(says={(1, 1): exploit(name(0), {"x": 0.5})}))
    desk.step(saved(0, 1), reported(0, 1))
    assert desk.commands(reported(1, 1, waits=False)) == []
    assert desk.commands(reported(1)) == [go_on(1, 2, config={"x": 0.5}, checkpoint=ref(0, 1))]


def test_exploit_of_a_source_without_a_checkpoint_changes_nothing():
    desk = RunnerHarness(scripted(says={(1, 1): exploit(name(0), {"x": 0.5})}))
    step = desk.step(reported(1, 1))
    assert list(step.commands) == [go_on(1, 2)]
    assert not any(isinstance(record, TrialDecided) for record in step.records)
    assert desk.trial(1).config == {"x": 1}


def test_exploit_and_pause_saves_nothing_and_resumes_as_the_clone():
    desk = RunnerHarness(
        scripted(says={(1, 2): exploit(name(0), {"x": 0.5}, then=Action.YIELD)}, resumes=[1]), target=3
    )
    desk.step(saved(0, 1), reported(0, 1), reported(1, 1))
    step = desk.step(reported(1, 2))
    assert list(step.commands) == [pause(1, save=False)]
    assert TrialDecided(name(1), 2, Action.PAUSE, source=name(0), config={"x": 0.5}) in step.records
    assert desk.commands(paused(1)) == [launch(2, 1)]
    assert desk.commands(completed(0)) == [
        launch(1, 3, lease=2, iteration=2, checkpoint=ref(0, 1, at=2), config={"x": 0.5})
    ]


def test_a_new_config_alone_goes_on_from_the_own_checkpoint():
    desk = RunnerHarness(scripted(says={(0, 1): Decision(Action.CONTINUE, config={"x": 9})}))
    assert desk.commands(saved(0, 1), reported(0, 1)) == [go_on(0, 2, config={"x": 9}, checkpoint=ref(0, 1))]


def test_the_scheduler_stops_another_running_trial():
    desk = RunnerHarness(scripted(others={"result 0 1": {name(1): STOP}}), target=3)
    step = desk.step(reported(0, 1))
    assert list(step.commands) == [stop(1, STOPPED), go_on(0, 2)]
    assert TrialOverruled(name(1), Action.STOP, STOPPED) in step.records
    assert desk.search._heard == ["result 0 1", "complete 1"]
    assert desk.commands(reported(1, 1)) == []
    assert desk.trial(1).iteration == 1
    assert desk.search._heard == ["result 0 1", "complete 1"]
    assert desk.commands(completed(1, STOPPED)) == [launch(2, 1)]


def test_the_scheduler_stops_a_paused_trial_at_once():
    desk = RunnerHarness(
        scripted(says={(0, 1): PAUSE}, others={"result 1 1": {name(0): STOP}}, resumes=[]), target=2
    )
    desk.step(reported(0, 1))
    desk.step(paused(0))
    assert desk.commands(reported(1, 1)) == [go_on(1, 2)]
    assert desk.trial(0).status is TrialStatus.TERMINATED
    assert desk.search._heard == ["result 0 1", "result 1 1", "complete 0"]


def test_a_stop_overtakes_a_pause():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE}, others={"result 1 1": {name(0): STOP}}), target=3)
    assert desk.commands(reported(0, 1)) == [pause(0)]
    assert desk.commands(reported(1, 1)) == [go_on(1, 2)]
    assert desk.trial(0).pending is Action.STOP
    assert desk.commands(paused(0)) == [launch(2, 1)]
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, STOPPED)
    assert desk.search._heard == ["result 0 1", "result 1 1", "complete 0"]


def test_the_scheduler_pauses_another_running_trial():
    desk = RunnerHarness(scripted(others={"result 0 1": {name(1): PAUSE}}), target=3)
    assert desk.commands(reported(0, 1)) == [pause(1), go_on(0, 2)]
    assert desk.commands(reported(1, 1)) == []  # it came to its decision point just before
    assert desk.commands(saved(1, 1), paused(1)) == [launch(2, 1)]
    assert desk.trial(1).status is TrialStatus.PAUSED


def test_a_trial_that_is_pausing_may_be_stopped_by_its_own_result():
    desk = RunnerHarness(scripted(says={(1, 1): STOP}, others={"result 0 1": {name(1): PAUSE}}), target=3)
    assert desk.commands(reported(0, 1)) == [pause(1), go_on(0, 2)]
    assert desk.commands(reported(1, 1)) == []
    assert desk.commands(saved(1, 1), paused(1)) == [launch(2, 1)]
    assert desk.trial(1).status is TrialStatus.TERMINATED


def test_a_trial_that_is_pausing_may_become_a_clone():
    says = {(1, 1): exploit(name(0), {"x": 0.5})}
    desk = RunnerHarness(scripted(says=says, others={"result 0 1": {name(1): PAUSE}}, resumes=[1]), target=3)
    desk.step(saved(0, 1), reported(0, 1))
    assert desk.commands(reported(1, 1)) == []
    assert desk.commands(saved(1, 1), paused(1)) == [launch(2, 1)]
    assert desk.commands(completed(0)) == [
        launch(1, 2, lease=2, iteration=1, checkpoint=ref(0, 1), config={"x": 0.5})
    ]


def test_stopping_others_goes_on_until_there_is_nothing_to_say():
    others = {"result 0 1": {name(1): STOP}, "complete 1": {name(2): STOP, name(3): PAUSE}}
    desk = RunnerHarness(scripted(others=others), slots=4, target=4)
    assert desk.commands(reported(0, 1)) == [stop(1, STOPPED), stop(2, STOPPED), pause(3), go_on(0, 2)]


@pytest.mark.parametrize("infra", [False, True])
def test_a_fault_within_the_budget_is_tried_again(infra):
    desk = RunnerHarness(rules=Rules(max_failures=1, max_infra_failures=1))
    desk.step(saved(0, 1), reported(0, 1))
    step = desk.step(faulted(0, infra=infra))
    assert list(step.commands) == [launch(0, 2, lease=2, iteration=1, checkpoint=ref(0, 1))]
    assert FaultJudged(name(0), retry=True) in step.records
    assert desk.scheduler._heard[-1] == "no new trials"
    assert "passing error 0" in desk.scheduler._heard
    assert desk.search._heard == ["result 0 1"]


@pytest.mark.parametrize("infra", [False, True])
def test_a_fault_over_the_budget_ends_the_trial(infra):
    desk = RunnerHarness(rules=Rules(max_failures=1, max_infra_failures=1), target=3)
    desk.step(faulted(0, infra=infra))
    assert desk.commands(faulted(0, 2, infra=not infra)) == [launch(0, 1, lease=3)]  # a budget of its own
    assert desk.commands(faulted(0, 3, infra=infra)) == [launch(2, 1)]
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.ERRORED, "error")
    assert desk.trial(0).error == "boom"
    assert desk.search._heard == ["error 0"]
    assert "final error 0" in desk.scheduler._heard


def test_a_budget_of_minus_one_never_ends():
    desk = RunnerHarness(rules=Rules(max_failures=-1, max_infra_failures=-1), slots=1, target=1)
    for lease in range(1, 20):
        assert desk.commands(faulted(0, lease, infra=lease % 2 == 0)) == [launch(0, 1, lease=lease + 1)]


def test_fail_fast_ends_the_experiment():
    desk = RunnerHarness(rules=Rules(fail_fast=True), target=5)
    step = desk.step(faulted(0))
    assert StopDecided("fail_fast: trial-00000 failed") in step.records
    assert list(step.commands) == [stop(1, "fail_fast: trial-00000 failed")]
    step = desk.step(completed(1, "fail_fast: trial-00000 failed"))
    assert step.records[-1] == ExperimentEnded("fail_fast: trial-00000 failed")


def test_a_fault_while_pausing_leaves_the_trial_paused():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE}, resumes=[]))
    assert desk.commands(saved(0, 1), reported(0, 1)) == [pause(0, save=False)]
    assert desk.commands(faulted(0, infra=True)) == []
    assert desk.trial(0).status is TrialStatus.PAUSED


def test_a_fault_while_stopping_ends_the_trial():
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), target=3)
    desk.step(reported(0, 1))
    step = desk.step(faulted(0, infra=True))
    assert list(step.commands) == [launch(2, 1)]
    assert TrialOverruled(name(0), Action.STOP, "stopped") in step.records
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, STOPPED)
    assert desk.scheduler._heard[:4] == ["add 0", "add 1", "result 0 1", "complete 0"]
    assert "passing error 0" not in desk.scheduler._heard


def test_a_fault_while_stopping_over_the_budget_is_an_error_that_policies_need_not_hear_of():
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), target=3)
    desk.step(reported(0, 1))
    assert desk.commands(faulted(0)) == [launch(2, 1)]
    assert desk.trial(0).status is TrialStatus.ERRORED
    assert desk.search._heard == ["result 0 1", "complete 0"]


def test_a_lost_worker_that_owes_the_last_checkpoint_is_replaced_for_it():
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), rules=Rules(checkpoint_at_end=True), target=3)
    assert desk.commands(reported(0, 1)) == [stop(0, STOPPED)]
    assert desk.commands(faulted(0, infra=True)) == [launch(0, 1, lease=2, iteration=1)]
    assert desk.commands(reported(0, lease=2)) == [stop(0, STOPPED, lease=2)]
    assert desk.commands(saved(0, 1, lease=2), completed(0, STOPPED, lease=2)) == [launch(2, 1)]
    assert desk.trial(0).checkpoint == ref(0, 1)
    assert desk.search._heard == ["result 0 1", "complete 0"]


def test_capacity_grows_and_shrinks():
    desk = RunnerHarness(scripted(every=1), slots=1, target=9)
    assert desk.commands(CapacityChanged(3)) == [launch(1, 1), launch(2, 1)]
    assert desk.commands(CapacityChanged(1)) == []
    assert desk.commands(completed(0)) == []
    assert desk.commands(completed(1)) == []
    assert desk.commands(completed(2)) == [launch(3, 1)]
    assert desk.commands(CapacityChanged(0), completed(3)) == []
    assert desk.commands(CapacityChanged(1)) == [launch(4, 1)]


def test_max_concurrent_trials_bounds_the_slots():
    desk = RunnerHarness(rules=Rules(max_concurrent_trials=2), slots=5, target=9)
    assert [trial.trial_id for trial in desk.state.live_trials()] == [name(0), name(1)]
    assert desk.commands(completed(0)) == [launch(2, 1)]


def test_max_steps_per_task_cuts_a_stretch_but_not_its_checkpoint():
    desk = RunnerHarness(
        scripted(every=5, saves=True), rules=Rules(max_steps_per_task=2), slots=1, target=1, start=False
    )
    assert list(desk.start().commands) == [launch(0, 2, save_at=5)]
    assert desk.commands(reported(0, 1, 2)) == [go_on(0, 4, save_at=5)]
    assert desk.commands(reported(0, 3, 4)) == [go_on(0, 5, save_at=5)]


def test_the_time_budget_ends_the_experiment():
    desk = RunnerHarness(rules=Rules(time_budget_s=60.0), target=None)
    assert desk.runner.seconds_to_deadline(desk.now) == 60.0
    desk.step(reported(0, 1), seconds=20.0)
    assert desk.runner.seconds_to_deadline(desk.now + 10) == 30.0
    assert desk.commands(seconds=39.0) == []
    assert desk.state.stopping is None
    step = desk.step(seconds=1.0)
    reason = "time budget of 60 s spent"
    assert step.records[0] == StopDecided(reason)
    assert list(step.commands) == [stop(0, reason), stop(1, reason)]
    assert desk.runner.seconds_to_deadline(desk.now) is None
    assert desk.commands(reported(0, 2), reported(1, 1)) == []
    step = desk.step(completed(0, reason), completed(1, reason))
    assert step.records[-1] == ExperimentEnded(reason)


def test_downtime_is_no_part_of_the_time_budget():
    desk = RunnerHarness(rules=Rules(time_budget_s=60.0), target=None)
    desk.step(reported(0, 1), seconds=20.0)
    desk.restart()
    assert desk.runner.seconds_to_deadline(desk.now) == 40.0


def test_somebody_ends_the_experiment():
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE, (1, 1): PAUSE}, resumes=[]), slots=2, target=5)
    desk.step(reported(0, 1))
    desk.step(paused(0))  # trial 2 takes its place
    desk.step(reported(1, 1))  # and 1 is about to pause
    assert desk.commands(StopRequested("by hand")) == [stop(2, "by hand")]
    assert desk.trial(0).status is TrialStatus.TERMINATED
    assert (desk.trial(1).pending, desk.state.stopping) == (Action.STOP, "by hand")
    step = desk.step(paused(1), completed(2, "by hand"))
    assert step.records[-1] == ExperimentEnded("by hand")
    assert [desk.trial(number).reason for number in range(3)] == ["by hand"] * 3
    assert sorted(desk.search._heard)[:3] == ["complete 0", "complete 1", "complete 2"]
    assert desk.commands(reported(2, 9, lease=1)) == []
    desk.replayed()


def test_a_stop_request_beside_other_events_is_replayed_to_the_same_state():
    desk = RunnerHarness(target=5)
    desk.step(StopRequested("by hand"), reported(0, 1), reported(1, 1))
    assert desk.search._heard == ["result 0 1", "result 1 1", "complete 0", "complete 1"]
    desk.replayed()


def test_a_trial_that_waits_to_save_its_last_checkpoint_does_not_hold_up_the_end():
    desk = RunnerHarness(
        scripted(says={(0, 1): STOP}), rules=Rules(checkpoint_at_end=True), slots=1, target=1
    )
    desk.step(reported(0, 1))
    desk.step(faulted(0, infra=True), CapacityChanged(0))
    assert (desk.trial(0).status, desk.trial(0).pending) == (TrialStatus.PENDING, Action.STOP)
    assert desk.step(StopRequested("by hand")).records[-1] == ExperimentEnded("by hand")
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, STOPPED)
    assert desk.search._heard == ["result 0 1", "complete 0"]


def test_a_search_that_has_nothing_right_now_is_asked_again():
    desk = RunnerHarness(search=ScriptedSearch(silent_at=[1, 2]), slots=2, target=3)
    assert list(desk.state.trials) == [name(0)]
    assert desk.commands(reported(0, 1)) == [go_on(0, 2)]
    assert desk.commands(reported(0, 2)) == [go_on(0, 3), launch(1, 1)]
    desk.replayed()


def test_a_step_without_events_asks_nobody():
    desk = RunnerHarness(search=ScriptedSearch(silent_at=[1]), slots=2, target=3)
    asked = desk.search._asked
    assert desk.step() == type(desk.step())((), ())
    assert desk.search._asked == asked
    desk.replayed()


def test_a_search_that_has_finished_ends_the_experiment():
    desk = RunnerHarness(search=ScriptedSearch(total=1), slots=2, target=9, start=False)
    assert desk.start().records[-1] == SearchExhausted()
    assert list(desk.state.trials) == [name(0)]
    desk.step(reported(0, 1))
    assert desk.step(completed(0)).records[-1] == ExperimentEnded("search exhausted")
    desk.replayed()


def test_no_new_trials_sets_paused_ones_free():
    others = {"no new trials": {name(0): STOP}}
    desk = RunnerHarness(scripted(says={(0, 1): PAUSE}, others=others, resumes=[]), slots=1, target=2)
    desk.step(reported(0, 1))
    desk.step(paused(0))
    step = desk.step(completed(1))
    assert step.records[-1] == ExperimentEnded("all trials done")
    assert (desk.trial(0).status, desk.trial(0).reason) == (TrialStatus.TERMINATED, STOPPED)


def test_a_search_that_waits_for_the_end_of_paused_trials_is_asked_again():
    others = {"no new trials": {name(0): STOP}}
    scheduler = scripted(says={(0, 1): PAUSE}, others=others, resumes=[])
    desk = RunnerHarness(scheduler, ScriptedSearch(silent_at=[1]), slots=1, target=2)
    desk.step(reported(0, 1))
    assert desk.commands(paused(0)) == [launch(1, 1)]


@pytest.mark.parametrize(
    ("scheduler", "search", "message"),
    [
        (unwilling(), ScriptedSearch(), "Scripted chose none of the 1 waiting"),
        (scripted(), ScriptedSearch(silent_at=list(range(9))), "ScriptedSearch suggests nothing"),
    ],
    ids=["scheduler", "search"],
)
def test_policies_that_leave_nothing_to_do_are_an_error(scheduler, search, message):
    with pytest.raises(PolicyError, match=message):
        RunnerHarness(scheduler, search, slots=1)


def test_a_decision_at_another_iteration_than_promised_is_an_error():
    desk = RunnerHarness(scripted(every=3, says={(0, 2): STOP}))
    with pytest.raises(
        PolicyError, match=r"on_trial_result: got .*STOP.*iteration 2: next_decision had named 3"
    ):
        desk.step(reported(0, 1, 2))


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (None, "on_trial_result: got None for trial-00000 RUNNING at iteration 1"),
        ("STOP", "got 'STOP'.*expected a Decision"),
        (exploit("trial-99999", {}), "expected the id of a trial"),
        (exploit(name(1), {"x": object()}), r"JSON values; config\['x'\]: object is not a JSON value"),
    ],
)
def test_a_scheduler_that_says_nonsense_is_an_error(says, message):
    desk = RunnerHarness(scripted(says={(0, 1): says}))
    desk.step(saved(1, 1))
    with pytest.raises(PolicyError, match=message):
        desk.step(reported(0, 1))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({name(1): YIELD}, "expected PAUSE or STOP"),
        ({name(1): exploit(name(0), {})}, "expected PAUSE or STOP"),
        ({"trial-99999": STOP}, "expected the id of a trial of this experiment"),
    ],
)
def test_nonsense_about_other_trials_is_an_error(others, message):
    desk = RunnerHarness(scripted(others={"result 0 1": others}))
    with pytest.raises(PolicyError, match=message):
        desk.step(reported(0, 1))


@pytest.mark.parametrize("number", [0, -1, "x", 1.5])
def test_a_next_decision_that_is_not_ahead_is_an_error(number):
    scheduler = scripted()
    type(scheduler).next_decision = lambda self, trial: number
    with pytest.raises(PolicyError, match=f"Scripted.*: got {number!r} for trial-00000"):
        RunnerHarness(scheduler)


def test_a_policy_that_raises_is_an_error_that_names_it():
    scheduler = scripted()
    type(scheduler).on_trial_add = lambda self, trial: 1 / 0
    with pytest.raises(PolicyError, match=r"lambda.* raised ZeroDivisionError: division by zero"):
        RunnerHarness(scheduler)


def test_a_config_that_is_no_json_is_an_error():
    search = ScriptedSearch()
    search.__class__ = type(
        "Bad", (ScriptedSearch,), {"suggest": lambda self, trial_id: [1], "__module__": __name__}
    )
    with pytest.raises(PolicyError, match=r"got \[1\], expected a config"):
        RunnerHarness(search=search)


def test_only_the_newest_checkpoints_are_kept():
    desk = RunnerHarness(rules=Rules(num_to_keep=2))
    assert desk.commands(saved(0, 1), reported(0, 1)) == [go_on(0, 2)]
    assert desk.commands(saved(0, 2), reported(0, 2)) == [go_on(0, 3)]
    assert desk.commands(saved(0, 3), reported(0, 3)) == [DeleteCheckpoint(ref(0, 1)), go_on(0, 4)]
    assert desk.trial(0).checkpoints == (ref(0, 2), ref(0, 3))
    assert desk.commands(saved(0, 1), saved(0, 3)) == []


@pytest.mark.parametrize("end", [False, True], ids=["source runs", "source has ended"])
def test_a_checkpoint_that_another_trial_has_is_not_deleted(end):
    desk = RunnerHarness(scripted(says={(1, 1): exploit(name(0), {"x": 0.5})}), rules=Rules(num_to_keep=1))
    desk.step(saved(0, 1), reported(0, 1))
    desk.step(reported(1, 1))
    if end:
        desk.step(completed(0))
        assert desk.commands(saved(1, 2), reported(1, 2)) == [go_on(1, 3)]
        assert desk.trial(0).checkpoint == ref(0, 1)
        return
    assert desk.commands(saved(0, 2), reported(0, 2)) == [go_on(0, 3)]
    assert desk.trial(1).checkpoint == ref(0, 1)
    # nobody has it any more once the clone has a checkpoint of its own
    assert desk.commands(saved(1, 2), reported(1, 2)) == [DeleteCheckpoint(ref(0, 1)), go_on(1, 3)]


def test_the_checkpoints_that_a_clone_gives_up_are_deleted():
    says = {(1, 2): exploit(name(0), {"x": 0.5})}
    for keep, deleted in ((None, []), (2, [DeleteCheckpoint(ref(1, 1)), DeleteCheckpoint(ref(1, 2))])):
        desk = RunnerHarness(scripted(says=says), rules=Rules(num_to_keep=keep))
        desk.step(saved(0, 1), reported(0, 1), saved(1, 1), reported(1, 1))
        copy = ref(0, 1, at=2)
        assert desk.commands(saved(1, 2), reported(1, 2)) == [
            *deleted,
            go_on(1, 3, config={"x": 0.5}, checkpoint=copy),
        ]


def test_a_metric_that_no_trial_reports_is_an_error_when_the_first_one_ends():
    desk = RunnerHarness(target=3)
    desk.step(reported(0, 1, score=None, loss=1.0))
    message = (
        r"got 'score', expected a metric.* trial-00000 ended after 1 iteration\(s\) and reported: loss\."
    )
    with pytest.raises(MetricNotReported, match=message):
        desk.step(completed(0))


def test_a_metric_that_no_trial_reports_is_an_error_at_the_end():
    desk = RunnerHarness(target=2)
    desk.step(completed(0))
    with pytest.raises(
        MetricNotReported, match=r"trial-00001 ended after 0 iteration\(s\) and reported: nothing"
    ):
        desk.step(completed(1))


def test_failed_trials_are_told_as_such_and_not_as_a_missing_metric():
    desk = RunnerHarness(target=2)
    desk.step(faulted(0))
    assert desk.step(completed(1)).records[-1] == ExperimentEnded("all trials done")


def test_one_report_of_the_metric_is_enough():
    desk = RunnerHarness(target=2)
    desk.step(reported(1, 1))
    desk.step(reported(0, 1, score=None, loss=1.0))
    desk.step(completed(0), completed(1))
    assert desk.state.ended == "all trials done"
    desk = RunnerHarness(target=1, objective=Objective(None))
    desk.step(reported(0, 1, score=None), completed(0))
    assert desk.state.ended == "all trials done"


def test_an_experiment_that_is_stopped_early_needs_no_metric():
    desk = RunnerHarness(target=2)
    desk.step(reported(0, 1, score=None))
    desk.step(StopRequested("by hand"))
    desk.step(completed(0, "by hand"), completed(1, "by hand"))
    assert desk.state.ended == "by hand"


def test_a_second_copy_of_an_event_orders_nothing():
    desk = RunnerHarness(scripted(says={(0, 2): PAUSE, (1, 2): STOP}))
    for event in (
        reported(0, 1),
        saved(0, 1),
        reported(0, 2),
        reported(1, 1),
        reported(1, 2),
        paused(0),
        completed(1, STOPPED),
        DriverStarted(1, 100.0),
    ):
        desk.step(event)
        before = desk.search._heard, desk.scheduler._heard
        assert desk.commands(event) == []
        assert (desk.search._heard, desk.scheduler._heard) == before
    desk.replayed()


def test_an_extension_goes_on_where_the_experiment_had_ended():
    desk = RunnerHarness(target=1)
    desk.step(reported(0, 1), completed(0))
    assert desk.state.ended
    assert desk.commands(ExperimentExtended(2), CapacityChanged(2)) == [launch(1, 1)]
    desk.step(reported(1, 1), completed(1))
    assert desk.state.ended == "all trials done"
    desk.replayed()


def ended_with_an_error():
    desk = RunnerHarness(target=2)
    desk.step(reported(0, 1))
    desk.step(saved(0, 1), faulted(0, 1), reported(1, 1), completed(1))
    assert desk.state.ended
    return desk


def test_a_failed_trial_runs_again_from_its_checkpoint():
    desk = ended_with_an_error()
    orders = desk.commands(TrialsReopened((name(0),)), CapacityChanged(2))
    assert orders == [launch(0, 2, lease=2, iteration=1, checkpoint=ref(0, 1))]
    assert desk.scheduler._heard.count("add 0") == 2
    desk.step(reported(0, 2, lease=2), completed(0, lease=2))
    assert desk.state.ended == "all trials done"
    assert desk.search._heard[-2:] == ["result 0 2", "complete 0"]
    desk.replayed()


def test_a_failed_trial_begins_from_scratch():
    desk = ended_with_an_error()
    orders = desk.commands(TrialsReopened((name(0),), restart=True), CapacityChanged(2))
    assert orders == [DeleteCheckpoint(ref(0, 1)), launch(0, 1, lease=2)]
    desk.step(reported(0, 1, lease=2), completed(0, lease=2))
    assert desk.state.ended == "all trials done"
    desk.replayed()


def test_what_is_not_over_is_not_reopened():
    desk = RunnerHarness(target=2)
    desk.step(reported(0, 1), saved(0, 1))
    assert desk.commands(TrialsReopened((name(0), name(7)), restart=True)) == []
    assert "add 0" not in desk.scheduler._heard[2:]
    assert desk.trial(0).checkpoints == (ref(0, 1),)
    desk.replayed()


def test_a_result_after_the_last_one_is_history_only():
    desk = RunnerHarness(target=2)
    desk.step(StopRequested("by hand"))
    desk.step(reported(0, 1))
    assert desk.trial(0).last_result == result(1)
    assert desk.search._heard == ["complete 0", "complete 1"]
