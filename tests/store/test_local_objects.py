"""The local folder: races of processes, durability, and what the disk may refuse."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from tune_flows.core.errors import StorageError
from tune_flows.store import ObjectStore

WRITERS, KEYS = 4, 60


def contend(url, me, start, won):
    store = ObjectStore(url)
    mine = []
    for index in range(KEYS):
        start.wait()
        if store.create(f"log/{index}", f"writer {me}".encode()):
            mine.append(index)
    won.put((me, mine))


def test_exactly_one_process_wins_each_key(store):
    context = multiprocessing.get_context("fork")
    start, won = context.Barrier(WRITERS), context.Queue()
    racers = [context.Process(target=contend, args=(store.url, me, start, won)) for me in range(WRITERS)]
    for racer in racers:
        racer.start()
    claims = dict(won.get(timeout=30) for _ in racers)
    for racer in racers:
        racer.join()
    winners = {index: me for me, mine in claims.items() for index in mine}
    assert sum(len(mine) for mine in claims.values()) == KEYS
    assert {index: f"writer {me}".encode() for index, me in winners.items()} == {
        index: store.get(f"log/{index}") for index in range(KEYS)
    }


def test_a_create_is_flushed_before_it_is_visible_and_the_folder_after(store, monkeypatch):
    calls: list[str] = []
    for name in ("fsync", "link", "unlink"):
        real = getattr(os, name)

        def noted(*args, _real=real, _name=name, **kwargs):
            calls.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, name, noted)
    store.put("log/0", b"makes the folders")
    calls.clear()
    store.create("log/1", b"x")
    assert calls == ["fsync", "link", "unlink", "fsync"]


def test_no_temporary_file_stays_or_is_listed(store):
    store.create("log/1", b"a")
    store.create("log/1", b"b")
    store.put("log/2", b"c")
    assert sorted(os.listdir(f"{store.url}/log")) == ["1", "2"]
    Path(store.url, "log", ".tmp-left-by-a-crash").write_bytes(b"half")
    assert store.list() == ["log/1", "log/2"]


def test_a_path_through_a_file_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    store = ObjectStore(f"{tmp_path}/file/storage")
    with pytest.raises(StorageError, match=r"storage_path: got '.*/file/storage', .* is a file"):
        store.check_writable()


def test_no_permission_is_said(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(args[0]))

    monkeypatch.setattr(os, "mkdir", refuse)  # the tests may run as root, whom no mode stops
    with pytest.raises(
        StorageError, match=r"storage_path: got .*permission denied: make the folder writable"
    ):
        ObjectStore(f"{tmp_path}/new").check_writable()


def test_a_file_system_without_links_is_said(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(1, "Operation not permitted", source, None, target)

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError, match="no hard links"):
        ObjectStore(str(tmp_path)).check_writable()
    assert os.listdir(tmp_path) == []


def test_a_deleted_experiment_does_not_come_back(store):
    store.create("log/1", b"x")
    shutil.rmtree(store.url)
    with pytest.raises(StorageError, match="or was deleted while the experiment ran"):
        store.create("log/2", b"x")
    assert not os.path.exists(store.url)
