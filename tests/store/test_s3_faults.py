"""S3 over the real protocol, through a proxy that spoils requests."""

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager

import pytest

from tests.fault_proxy import Fault, fault_proxy
from tune_flows.core.errors import StorageError
from tune_flows.store import ObjectStore, StorageAccess

QUICK = StorageAccess({"config_kwargs": {"connect_timeout": 0.3, "read_timeout": 0.3}})


@pytest.fixture
def spoiled(s3, s3_url, monkeypatch) -> Callable:
    """A store behind a proxy that spoils the first requests of a method."""

    @contextmanager
    def store_with(fault, *, method="PUT", times=1, budget_s=20.0, access=QUICK):
        seen: Counter[str] = Counter()

        def decide(asked, path):
            seen[asked] += 1
            return fault if asked == method and seen[asked] <= times else None

        with fault_proxy(s3.endpoint, decide) as endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
            yield ObjectStore(f"{s3_url}/x", access=access, retry_budget_s=budget_s), seen

    return store_with


@pytest.mark.parametrize(
    "fault", [Fault.LOST_REPLY, Fault.RESET, Fault.STALL, Fault.SLOW_DOWN, Fault.INTERNAL, Fault.CONFLICT]
)
def test_a_create_outlasts_the_fault_and_is_ones_own(spoiled, fault):
    with spoiled(fault, times=2) as (store, seen):
        assert store.create("log/1", b"mine")
        assert not store.create("log/1", b"theirs")
        assert store.get("log/1") == b"mine"
        assert seen["PUT"] >= 3


def test_a_lost_reply_does_not_hide_that_another_won(spoiled):
    with spoiled(Fault.LOST_REPLY, times=2) as (store, _):
        assert store.create("log/1", b"first")
        assert not store.create("log/1", b"second")


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.STALL, Fault.SLOW_DOWN, Fault.TORN_REPLY])
def test_a_read_outlasts_the_fault(spoiled, fault):
    with spoiled(fault, method="GET", times=2) as (store, seen):
        store.put("log/1", b"content" * 50)
        assert store.get("log/1") == b"content" * 50
        assert seen["GET"] >= 3


def test_the_budget_ends_endless_faults(spoiled):
    with spoiled(Fault.SLOW_DOWN, times=999, budget_s=0.5) as (store, seen):
        with pytest.raises(
            StorageError, match=r"create s3://.*/x/log/1: no success in \d+ attempts over 0.5 s"
        ):
            store.create("log/1", b"x")
        assert 2 <= seen["PUT"] <= 8  # and not 25 for each, as with nested retries


def test_a_denial_is_final(spoiled):
    with spoiled(Fault.DENIED, access=StorageAccess()) as (store, seen):
        with pytest.raises(StorageError, match=r"storage_path: got 's3://.*permission denied"):
            store.check_writable()
        assert seen["PUT"] == 1


def test_a_server_that_ignores_the_condition_is_refused(spoiled):
    with spoiled(Fault.IGNORED_CONDITION, times=999) as (store, _):
        with pytest.raises(StorageError, match="ignores If-None-Match"):
            store.check_writable()
        assert store.list() == []


def test_a_missing_bucket_is_said(s3_url):
    store = ObjectStore("s3://no-such-bucket/x")
    with pytest.raises(StorageError, match="the bucket does not exist"):
        store.check_writable()
    with pytest.raises(StorageError, match="the bucket does not exist"):
        store.get("experiment.json")


def test_missing_credentials_are_said(s3_url, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StorageError, match="no usable credentials: set AWS_ACCESS_KEY_ID"):
        ObjectStore(s3_url).check_writable()


def test_a_server_that_is_not_there_is_said_within_the_budget(s3_url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match=r"storage_path: .*Is the storage up and reachable"):
        ObjectStore(s3_url).check_writable(budget_s=0.3)
