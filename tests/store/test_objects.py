"""What every kind of storage must do alike."""

import pickle
import threading

import pytest

from tests.fault_proxy import fault_proxy
from tune_flows.core.errors import InvalidParameter, StorageError
from tune_flows.store import ObjectStore


def test_create_is_refused_for_other_bytes_only(any_store):
    assert any_store.create("log/1", b"mine")
    assert any_store.create("log/1", b"mine")  # one's own, seen again after a lost reply
    assert not any_store.create("log/1", b"theirs")
    assert any_store.get("log/1") == b"mine"


def test_an_object_that_is_not_there_is_none(any_store):
    assert any_store.get("log/1") is None


def test_put_replaces(any_store):
    any_store.put("a.parquet", b"1")
    any_store.put("a.parquet", b"22")
    assert any_store.get("a.parquet") == b"22"


def test_empty_and_large_objects_come_back(any_store):
    large = bytes(range(256)) * 40_000
    assert any_store.create("empty", b"")
    assert any_store.create("large", large)
    assert any_store.get("empty") == b""
    assert any_store.get("large") == large


def test_list_is_below_the_folder_only(any_store):
    for key in ("log/2", "log/1", "logs/1", "log/deep/3", "experiment.json"):
        any_store.put(key, b"x")
    assert any_store.list("log") == any_store.list("log/") == ["log/1", "log/2", "log/deep/3"]
    assert any_store.list() == ["experiment.json", "log/1", "log/2", "log/deep/3", "logs/1"]
    assert any_store.list("none") == []


def test_the_first_key_after_another(any_store):
    assert any_store.first_after("log", "log/2") is None
    for key in ("lof/9", "log/1", "log/3", "log/4", "logs/5"):
        any_store.put(key, b"x")
    assert any_store.first_after("log", "log/0") == "log/1"
    assert any_store.first_after("log", "log/1") == any_store.first_after("log", "log/2") == "log/3"
    assert any_store.first_after("log", "log/4") is None


@pytest.mark.parametrize("inside", ["", "/deep/er"])
def test_the_end_of_many_objects_is_one_request(s3, s3_url, monkeypatch, inside):
    folder = s3.folder / f"{s3_url.removeprefix('s3://')}{inside}" / "log"
    folder.mkdir(parents=True)
    for number in range(1500):
        (folder / f"{number:04d}").touch()
    requests: list[str] = []
    with fault_proxy(s3.endpoint, lambda method, path: requests.append(path)) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = ObjectStore(f"{s3_url}{inside}")
        assert store.first_after("log", "log/1497") == "log/1498"
        assert store.first_after("log", "log/1499") is None
        assert len(requests) == 2
        assert len(store.list("log")) == 1500


def test_folders_at_a_depth(any_store):
    assert any_store.folders("log") == []
    for key in ("log/a/1", "log/a/b/2", "log/c/d/e/3", "log/4", "logs/f/5"):
        any_store.put(key, b"x")
    assert any_store.folders("log") == ["log/a", "log/c"]
    assert any_store.folders("log", depth=2) == ["log/a/b", "log/c/d"]
    assert any_store.folders() == ["log", "logs"]


def test_folders_cost_no_list_of_what_they_hold(s3, s3_url, monkeypatch):
    for name in ("a", "b"):
        folder = s3.folder / s3_url.removeprefix("s3://") / "tuning" / name / "log"
        folder.mkdir(parents=True)
        for number in range(1500):
            (folder / f"{number:04d}").touch()
    requests: list[str] = []
    with fault_proxy(s3.endpoint, lambda method, path: requests.append(path)) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert ObjectStore(f"{s3_url}/tuning").folders() == ["a", "b"]
    assert len(requests) == 1


def test_delete_and_delete_prefix(any_store):
    for key in ("a/1", "a/2/3", "ab/1"):
        any_store.put(key, b"x")
    any_store.delete("a/1")
    any_store.delete("a/1")
    assert any_store.list("a") == ["a/2/3"]
    any_store.delete_prefix("a")
    any_store.delete_prefix("a")
    assert any_store.list() == ["ab/1"]
    any_store.put("a/2/3", b"again")
    assert any_store.get("a/2/3") == b"again"


def test_files_travel(any_store, tmp_path):
    (tmp_path / "up").write_bytes(b"content" * 1000)
    any_store.put_file("f/model.bin", tmp_path / "up")
    any_store.get_file("f/model.bin", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == b"content" * 1000


def test_a_missing_file_is_named(any_store, tmp_path):
    with pytest.raises(StorageError, match=r"f/none: there is no such object"):
        any_store.get_file("f/none", tmp_path / "down")
    with pytest.raises(StorageError, match="nowhere: expected a file"):
        any_store.put_file("f/none", tmp_path / "nowhere")


def test_the_probe_passes_and_leaves_nothing(any_store):
    any_store.check_writable()
    assert any_store.list() == []


def test_one_of_many_threads_wins(any_store):
    contents = [f"writer {index}".encode() for index in range(8)]
    won: list[bytes] = []
    start = threading.Barrier(len(contents))

    def contend(content: bytes) -> None:
        for round_ in range(10):
            start.wait()
            if any_store.create(f"log/{round_}", content):
                won.append(content)

    threads = [threading.Thread(target=contend, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 10
    assert sorted(won) == sorted(any_store.get(f"log/{round_}") for round_ in range(10))


def test_a_pickled_store_works_and_holds_no_secret(any_store):
    any_store.put("a", b"1")
    pickled = pickle.dumps(any_store)
    assert b"test-secret" not in pickled
    copy = pickle.loads(pickled)
    assert copy.url == any_store.url
    assert copy.get("a") == b"1"


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../other/experiment.json", "a/../../b"])
def test_keys_stay_inside(store, key):
    with pytest.raises(InvalidParameter, match="key: got"):
        store.get(key)
