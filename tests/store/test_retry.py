import pickle

import pytest

from tune_flows.core.errors import ExperimentFenced, InvalidParameter, StorageError
from tune_flows.store import ObjectStore, Retry


class Clock:
    def __init__(self):
        self.now, self.waits = 0.0, []

    def sleep(self, seconds):
        self.now += seconds
        self.waits.append(seconds)


def retry(clock, budget_s=60.0):
    return Retry(budget_s=budget_s, clock=lambda: clock.now, sleep=clock.sleep, jitter=lambda low, high: high)


def failing(times, error):
    attempts = []

    def operation():
        attempts.append(1)
        if len(attempts) <= times:
            raise error
        return len(attempts)

    return operation


def test_waits_double_up_to_the_longest():
    clock = Clock()
    assert retry(clock).call(failing(8, TimeoutError("slow")), what="read x", local=False) == 9
    assert clock.waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_the_budget_counts_from_the_first_failure_and_is_used_to_its_end():
    clock = Clock()
    with pytest.raises(
        StorageError, match=r"read x: no success in \d+ attempts over 7 s, last: TimeoutError: slow"
    ):
        retry(clock, 7.0).call(failing(99, TimeoutError("slow")), what="read x", local=False)
    assert clock.now == pytest.approx(7.0)


@pytest.mark.parametrize("error", [PermissionError("no"), KeyError("bug"), FileNotFoundError("no bucket")])
def test_what_cannot_heal_is_not_tried_again(error):
    clock = Clock()
    with pytest.raises(StorageError, match="read x") as caught:
        retry(clock).call(failing(1, error), what="read x", local=False)
    assert caught.value.__cause__ is error
    assert clock.waits == []


def test_our_own_errors_pass_through():
    with pytest.raises(ExperimentFenced, match="other"):
        retry(Clock()).call(failing(1, ExperimentFenced("other")), what="read x", local=False)


def test_an_outage_is_said_once_and_so_is_its_end(caplog):
    clock = Clock()
    shared = retry(clock)
    shared.call(failing(7, TimeoutError("slow")), what="create s3://b/x", local=False)
    shared.call(failing(3, TimeoutError("slow")), what="read s3://b/x", local=False)
    assert caplog.messages == [
        "create s3://b/x: the storage does not answer for 3 s now; trying again for up to 57 s. "
        "(TimeoutError: slow)",
        "create s3://b/x: the storage answers again, after 11 s.",
    ]


def test_an_outage_that_many_operations_meet_is_one(caplog):
    clock = Clock()
    shared = retry(clock, 4.0)
    for key in "ab":
        with pytest.raises(StorageError):
            shared.call(failing(99, TimeoutError("slow")), what=f"create {key}", local=False)
    shared.call(failing(0, TimeoutError("slow")), what="read c", local=False)
    assert [message.partition(" for ")[0] for message in caplog.messages] == [
        "create a: the storage does not answer",
        "read c: the storage answers again, after 8 s.",
    ]


def test_an_operation_beside_another_that_succeeds_does_not_flood_the_log(caplog):
    clock = Clock()
    shared = retry(clock)

    lost = failing(7, TimeoutError("slow"))

    def flapping():
        shared.call(failing(0, None), what="read other", local=False)
        lost()

    shared.call(flapping, what="create large", local=False)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("budget_s", [-1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(tmp_path, budget_s):
    with pytest.raises(InvalidParameter, match="retry_budget_s: got"):
        ObjectStore(str(tmp_path), retry_budget_s=budget_s)


def test_the_budget_travels_in_a_pickle(tmp_path):
    store = pickle.loads(pickle.dumps(ObjectStore(str(tmp_path), retry_budget_s=7.0)))
    assert store.__getstate__()[2] == 7.0
