"""Budgets by whose fault it is, and how long a trial waits before it is tried again."""

from typing import Any

import pytest

from tests.runner.builders import completed, faulted, launch, name, ref, reported, saved
from tests.runner.runner_harness import RunnerHarness, scripted
from tune_flows.core.codec import record_from_json, record_to_json, state_from_json, state_to_json
from tune_flows.core.commands import DeleteCheckpoint, LaunchSegment
from tune_flows.core.decisions import STOP, FaultJudged, StopDecided, exploit
from tune_flows.core.events import (
    CapacityChanged,
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    FaultKind,
    RulesChanged,
    TrialFaulted,
    TrialsReopened,
)
from tune_flows.core.rules import Rules
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.runner.backoff import LONGEST_DELAY_S, Backoff

ONE_EACH = Rules(max_failures=1, max_infra_failures=1, max_restore_failures=1)


def fault(kind: FaultKind, lease: int) -> TrialFaulted:
    return TrialFaulted(name(0), lease, kind, "boom")


@pytest.mark.parametrize("kind", [FaultKind.TRAINABLE, FaultKind.INFRASTRUCTURE, FaultKind.RESTORE])
def test_each_kind_has_a_budget_of_its_own(kind):
    desk = RunnerHarness(rules=ONE_EACH, slots=1, target=1)
    others = [other for other in FaultKind if other is not kind]
    for lease, other in enumerate(others, start=1):
        assert desk.commands(fault(other, lease)) == [launch(0, 1, lease=lease + 1)]
    lease = len(others) + 1
    assert desk.commands(fault(kind, lease)) == [launch(0, 1, lease=lease + 1)]
    assert desk.commands(fault(kind, lease + 1)) == []
    assert desk.trial(0).status is TrialStatus.ERRORED
    desk.replayed()


def test_an_announced_preemption_never_counts():
    desk = RunnerHarness(rules=Rules(max_infra_failures=0), slots=1, target=1)
    for lease in range(1, 10):
        assert desk.commands(fault(FaultKind.PREEMPTION, lease)) == [launch(0, 1, lease=lease + 1)]
    assert desk.trial(0).faults == 0


def test_fail_fast_at_once_ends_the_experiment_too():
    desk = RunnerHarness(rules=Rules(fail_fast="raise"))
    step = desk.step(faulted(0))
    assert FaultJudged(name(0), retry=False) in step.records
    assert StopDecided("fail_fast: trial-00000 failed") in step.records
    desk.step(completed(1))
    desk.replayed()


def test_delays_double_with_each_fault_in_a_row():
    desk = RunnerHarness(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=1, target=1)
    delays = [_delay(desk.commands(faulted(0, lease))) for lease in range(1, 10)]
    longest = [min(2.0**doubled, LONGEST_DELAY_S) for doubled in range(9)]
    assert all(most / 2 <= delay <= most for delay, most in zip(delays, longest, strict=True))


def test_progress_ends_the_row():
    desk = RunnerHarness(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=1, target=1)
    for lease in range(1, 6):
        desk.step(faulted(0, lease))
    desk.step(saved(0, 1, lease=6), reported(0, 1, lease=6))
    (again,) = desk.commands(faulted(0, 6))
    assert again.checkpoint == ref(0, 1)
    assert again.delay_s <= 1.0


def test_no_delay_without_a_fault():
    desk = RunnerHarness(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=2, target=3)
    assert _delay(desk.commands(completed(0))) == 0
    assert _delay(desk.commands(faulted(1))) > 0
    assert all(command.delay_s == 0 for command in desk.restart())


def test_the_same_history_gives_the_same_delays():
    def delays() -> list[float]:
        desk = RunnerHarness(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=1, target=1)
        return [_delay(desk.commands(faulted(0, lease))) for lease in range(1, 5)]

    assert delays() == delays()
    assert len(set(delays())) == 4


def test_trials_that_fail_together_come_back_apart():
    backoff = Backoff()
    found = set[float]()
    for number in range(20):
        backoff.note(Trial(name(number), {}, lease=1))
        found.add(backoff.delay_s(Trial(name(number), {}, lease=2), 1.0))
    assert len(found) == 20


def test_what_was_written_before_these_budgets_can_be_read():
    event = record_to_json(RulesChanged(Rules()))
    for field in ("max_restore_failures", "retry_delay_s"):
        del event["rules"][field]
    assert record_from_json(event) == RulesChanged(Rules())
    desk = RunnerHarness(slots=1, target=1)
    state = state_to_json(desk.state)
    for trial in state["trials"].values():
        del trial["restore_failures"]
    assert state_from_json(state) == desk.state


def restoring(*checkpoints: int, interim: int | None = None, rules: Rules | None = None) -> RunnerHarness:
    """A trial with these checkpoints and three iterations that is launched again, as lease 2."""
    desk = RunnerHarness(scripted(every=None), rules=rules or Rules(max_infra_failures=9), slots=1, target=1)
    desk.step(*(saved(0, iteration) for iteration in checkpoints), reported(0, 1, 2, 3, waits=False))
    if interim is None:
        desk.step(faulted(0, infra=True))
    else:
        desk.step(CheckpointSaved(name(0), 1, ref(0, interim), interim=True), DriverStopped(200.0, "test"))
        desk.step(DriverStarted(2, 300.0), CapacityChanged(1))
    assert desk.trial(0).lease == 2
    return desk


def unfetched(desk: RunnerHarness) -> tuple[list[Any], list[Any]]:
    """The checkpoint of the newest launch cannot be fetched: from where it goes on, and what is deleted."""
    commands = desk.commands(fault(FaultKind.RESTORE, desk.trial(0).lease))
    launched = [c.checkpoint for c in commands if isinstance(c, LaunchSegment)]
    return launched, [c.checkpoint for c in commands if isinstance(c, DeleteCheckpoint)]


def test_a_checkpoint_that_cannot_be_fetched_twice_is_given_up_for_the_one_before():
    desk = restoring(1, 2, 3, rules=Rules(max_restore_failures=9))
    assert unfetched(desk) == ([ref(0, 3)], [])
    assert unfetched(desk) == ([ref(0, 2)], [ref(0, 3)])
    assert unfetched(desk) == ([ref(0, 2)], [])
    assert unfetched(desk) == ([ref(0, 1)], [ref(0, 2)])
    for _ in range(5):
        assert unfetched(desk) == ([ref(0, 1)], [])  # the last one: there is no going back to the beginning
    assert unfetched(desk) == ([], [])
    assert desk.trial(0).status is TrialStatus.ERRORED
    assert desk.trial(0).checkpoints == (ref(0, 1),)
    desk.replayed()


def test_what_was_given_up_is_saved_anew():
    desk = restoring(1, 3)
    unfetched(desk)
    unfetched(desk)
    desk.step(saved(0, 3, lease=4), reported(0, 4, lease=4, waits=False))
    assert desk.trial(0).checkpoints == (ref(0, 1), ref(0, 3))


def test_an_interim_checkpoint_is_given_up_also_for_the_beginning():
    desk = restoring(1, interim=3)
    assert unfetched(desk) == ([ref(0, 3)], [])
    assert unfetched(desk) == ([ref(0, 1)], [ref(0, 3)])
    desk.replayed()
    desk = restoring(interim=3)
    assert unfetched(desk) == ([ref(0, 3)], [])
    assert unfetched(desk) == ([None], [ref(0, 3)])
    desk.replayed()


def test_a_trial_that_is_reopened_gives_up_what_could_not_be_fetched_before():
    desk = restoring(1, 3, rules=Rules(max_restore_failures=0))
    assert unfetched(desk) == ([], [])
    desk.step(RulesChanged(Rules(max_restore_failures=1)), TrialsReopened((name(0),), restart=False))
    assert unfetched(desk) == ([ref(0, 1)], [ref(0, 3)])
    desk.replayed()


def test_what_a_clone_cannot_fetch_stays_with_its_own_trial():
    says = {(1, 1): exploit(name(0), {"x": 0.5})}
    desk = RunnerHarness(scripted(says=says), rules=Rules(max_restore_failures=9), slots=2, target=2)
    desk.step(saved(0, 1), reported(0, 1))
    desk.step(saved(0, 2), reported(0, 2))
    desk.step(reported(1, 1))
    for lease in (1, 2, 3):
        (again,) = desk.commands(TrialFaulted(name(1), lease, FaultKind.RESTORE, "boom"))
        assert again.checkpoint == ref(0, 2, at=1)
    for lease in (1, 2):
        (again,) = desk.commands(TrialFaulted(name(0), lease, FaultKind.RESTORE, "boom"))
    assert again.checkpoint == ref(0, 1)  # and not deleted, as the clone has it
    assert desk.trial(1).checkpoints == (ref(0, 2, at=1),)
    desk.replayed()


@pytest.mark.parametrize("kind", [FaultKind.INFRASTRUCTURE, FaultKind.RESTORE])
def test_a_trial_that_was_stopped_is_no_failure_when_its_worker_is_lost(kind):
    rules = Rules(fail_fast=True, max_infra_failures=0, max_restore_failures=0)
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), rules=rules, slots=2, target=3)
    desk.step(reported(0, 1))
    assert desk.commands(fault(kind, 1)) == [launch(2, 1)]
    assert (desk.trial(0).status, desk.state.stopping) == (TrialStatus.TERMINATED, None)
    assert desk.search._heard == ["result 0 1", "complete 0"]
    desk.replayed()


@pytest.mark.parametrize(("kind", "at_end"), [(FaultKind.TRAINABLE, False), (FaultKind.INFRASTRUCTURE, True)])
def test_a_trial_that_was_stopped_fails_by_its_own_fault_or_without_what_it_owes(kind, at_end):
    rules = Rules(max_infra_failures=0, checkpoint_at_end=at_end)
    desk = RunnerHarness(scripted(says={(0, 1): STOP}), rules=rules, slots=2, target=2)
    desk.step(reported(0, 1))
    desk.step(fault(kind, 1))
    assert desk.trial(0).status is TrialStatus.ERRORED
    desk.replayed()


def _delay(commands: list[LaunchSegment]) -> float:
    (command,) = commands
    return command.delay_s
