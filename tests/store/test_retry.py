import pickle
import threading
import time

import pytest

from tune_flows.core.errors import ExperimentFenced, InvalidParameter, StorageError
from tune_flows.store import CheckpointStore, ObjectStore, Retry


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


def test_what_is_given_up_is_tried_for_so_long_and_no_longer():
    clock = Clock()
    given_up = retry(clock)

    def operation():
        if clock.now > 3 and not attempts_after:
            given_up.abandon_after(after_s=2.0)
        if clock.now > 3:
            attempts_after.append(clock.now)
        raise TimeoutError("slow")

    attempts_after: list[float] = []
    with pytest.raises(
        StorageError, match=r"create x: no success in .* given up .* last: TimeoutError: slow"
    ):
        given_up.call(operation, what="create x", local=False)
    assert attempts_after[-1] == pytest.approx(attempts_after[0] + 2.0)
    assert len(attempts_after) > 1
    with pytest.raises(StorageError, match="read y: no success in 1 attempt, then given up"):
        given_up.call(failing(9, TimeoutError("slow")), what="read y", local=False)
    assert given_up.call(failing(0, None), what="read z", local=False) == 1


def test_the_earliest_of_several_ends_counts():
    clock = Clock()
    given_up = retry(clock)
    given_up.abandon_after(after_s=1.0)
    given_up.abandon_after(after_s=50.0)
    with pytest.raises(StorageError, match="given up"):
        given_up.call(failing(99, TimeoutError("slow")), what="read y", local=False)
    assert clock.now == pytest.approx(1.0)


def test_threads_that_wait_for_the_next_attempt_are_woken():
    waiting = Retry(first_wait_s=60.0, longest_wait_s=60.0)
    tried = threading.Semaphore(0)
    errors = []

    def operation():
        tried.release()
        raise TimeoutError("slow")

    def attempt():
        try:
            waiting.call(operation, what="read x", local=False)
        except StorageError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for _ in threads:
        assert tried.acquire(timeout=20)
    waiting.abandon_after()
    for thread in threads:
        thread.join(timeout=20)
    assert time.monotonic() - begun < 20
    assert len(errors) == 3
    assert all("given up" in error for error in errors)


def test_a_store_that_was_given_up_works_once_and_its_copies_as_ever(s3_url, monkeypatch, tmp_path):
    store = ObjectStore(f"{s3_url}/x")
    store.abandon_after()
    assert store.create("log/1", b"x")  # what needs no second attempt is as before
    copy = pickle.loads(pickle.dumps(store))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for gone in (ObjectStore(f"{s3_url}/x"), CheckpointStore(f"{s3_url}/x")):
        gone.abandon_after()
        with pytest.raises(StorageError, match="given up because the run is being stopped"):
            _read(gone, tmp_path)
    assert copy._retry.last_call.at == float("inf")


def _read(store, tmp_path):
    if isinstance(store, ObjectStore):
        return store.get("log/1")
    ref = {"path": f"ckpt/t/1-{'0' * 32}", "manifest_sha256": ""}
    return store.restore(ref, tmp_path)
