"""Trials that faulted: whose segment gets the next launch, and whose is told that there is none."""

import pytest

from tune_flows.core.commands import LaunchSegment
from tune_flows.core.events import CapacityChanged, FaultKind, TrialCompleted, TrialFaulted
from tune_flows.executors.ray.pending_retries import PendingRetries


class Waiting:
    """A segment that waits for its verdict."""

    def __init__(self) -> None:
        self.given: list[LaunchSegment | None] = []

    def give(self, command: LaunchSegment | None) -> bool:
        self.given.append(command)
        return True


def fault(trial_id: str) -> TrialFaulted:
    return TrialFaulted(trial_id, 1, FaultKind.TRAINABLE, "boom")


class Court:
    """Trials a and b have faulted."""

    def __init__(self) -> None:
        self.pending_retries = PendingRetries()
        self.segments = {trial_id: Waiting() for trial_id in "ab"}
        for trial_id in "ab":
            self.pending_retries.add(trial_id, self.segments[trial_id])

    @property
    def given(self) -> dict[str, list[LaunchSegment | None]]:
        return {trial_id: segment.given for trial_id, segment in self.segments.items()}

    def judge(self, *trial_ids: str) -> None:
        """The runner is told of these faults, and tries none of the trials again."""
        self.pending_retries.told([fault(trial_id) for trial_id in trial_ids])
        self.pending_retries.start_next_iteration()


@pytest.fixture
def court() -> Court:
    return Court()


def test_nobody_is_judged_before_the_runner_was_told(court: Court):
    court.pending_retries.start_next_iteration()
    assert court.given == {"a": [], "b": []}
    court.pending_retries.told([CapacityChanged(2), fault("a"), TrialCompleted("b", 1, "returned")])
    assert court.given == {"a": [], "b": []}
    court.pending_retries.start_next_iteration()
    assert court.given == {"a": [None], "b": []}


def test_a_trial_that_is_launched_again_goes_on_in_its_segment(court: Court):
    court.pending_retries.told([fault("a"), fault("b")])
    assert court.pending_retries.pop("a") is court.segments["a"]
    court.pending_retries.start_next_iteration()
    assert court.given == {"a": [], "b": [None]}
    assert court.pending_retries.pop("a") is None


def test_what_was_told_is_judged_once(court: Court):
    court.judge("a")
    again = Waiting()
    court.pending_retries.add("a", again)
    court.pending_retries.start_next_iteration()
    assert again.given == []
    court.judge("a")
    assert again.given == [None]


def test_all_that_wait_are_let_go_when_nobody_will_judge(court: Court):
    court.pending_retries.pop("a")
    court.pending_retries.close()
    court.pending_retries.close()
    assert court.given == {"a": [], "b": [None]}
