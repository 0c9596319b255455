"""Budgets by whose fault it is, and how long a trial waits before it is tried again."""

import pytest

from tests.runner.desk import Desk
from tests.runner.made import completed, faulted, launch, name, ref, reported, saved
from tune_flows.core.backoff import LONGEST_DELAY_S, Backoff
from tune_flows.core.codec import record_from_json, record_to_json, state_from_json, state_to_json
from tune_flows.core.commands import LaunchSegment
from tune_flows.core.decisions import FaultJudged, StopDecided
from tune_flows.core.events import FaultKind, RulesChanged, TrialFaulted
from tune_flows.core.rules import Rules
from tune_flows.core.trial import Trial, TrialStatus

ONE_EACH = Rules(max_failures=1, max_infra_failures=1, max_restore_failures=1)


def fault(kind: FaultKind, lease: int) -> TrialFaulted:
    return TrialFaulted(name(0), lease, kind, "boom")


@pytest.mark.parametrize("kind", [FaultKind.TRAINABLE, FaultKind.INFRASTRUCTURE, FaultKind.RESTORE])
def test_each_kind_has_a_budget_of_its_own(kind):
    desk = Desk(rules=ONE_EACH, slots=1, target=1)
    others = [other for other in FaultKind if other is not kind]
    for lease, other in enumerate(others, start=1):
        assert desk.commands(fault(other, lease)) == [launch(0, 1, lease=lease + 1)]
    lease = len(others) + 1
    assert desk.commands(fault(kind, lease)) == [launch(0, 1, lease=lease + 1)]
    assert desk.commands(fault(kind, lease + 1)) == []
    assert desk.trial(0).status is TrialStatus.ERRORED
    desk.replayed()


def test_an_announced_preemption_never_counts():
    desk = Desk(rules=Rules(max_infra_failures=0), slots=1, target=1)
    for lease in range(1, 10):
        assert desk.commands(fault(FaultKind.PREEMPTION, lease)) == [launch(0, 1, lease=lease + 1)]
    assert desk.trial(0).faults == 0


def test_fail_fast_at_once_ends_the_experiment_too():
    desk = Desk(rules=Rules(fail_fast="raise"))
    step = desk.step(faulted(0))
    assert FaultJudged(name(0), retry=False) in step.records
    assert StopDecided("fail_fast: trial-00000 failed") in step.records
    desk.step(completed(1))
    desk.replayed()


def test_delays_double_with_each_fault_in_a_row():
    desk = Desk(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=1, target=1)
    delays = [_delay(desk.commands(faulted(0, lease))) for lease in range(1, 10)]
    longest = [min(2.0**doubled, LONGEST_DELAY_S) for doubled in range(9)]
    assert all(most / 2 <= delay <= most for delay, most in zip(delays, longest, strict=True))


def test_progress_ends_the_row():
    desk = Desk(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=1, target=1)
    for lease in range(1, 6):
        desk.step(faulted(0, lease))
    desk.step(saved(0, 1, lease=6), reported(0, 1, lease=6))
    (again,) = desk.commands(faulted(0, 6))
    assert again.checkpoint == ref(0, 1)
    assert again.delay_s <= 1.0


def test_no_delay_without_a_fault():
    desk = Desk(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=2, target=3)
    assert _delay(desk.commands(completed(0))) == 0
    assert _delay(desk.commands(faulted(1))) > 0
    assert all(command.delay_s == 0 for command in desk.restart())


def test_the_same_history_gives_the_same_delays():
    def delays() -> list[float]:
        desk = Desk(rules=Rules(max_failures=-1, retry_delay_s=1.0), slots=1, target=1)
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
    desk = Desk(slots=1, target=1)
    state = state_to_json(desk.state)
    for trial in state["trials"].values():
        del trial["restore_failures"]
    assert state_from_json(state) == desk.state


def _delay(commands: list[LaunchSegment]) -> float:
    (command,) = commands
    return command.delay_s
