import json
import os
import pickle
from pathlib import Path

import pytest

from tune_flows.core.errors import CorruptJournalError, InvalidParameter, StorageError
from tune_flows.store import CheckpointStore


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty" / "inside").mkdir(parents=True)
    (folder / "model.bin").write_bytes(os.urandom(3000))
    (folder / "deep" / "er" / "ünï code.json").write_text('{"epoch": 3}')
    (folder / "nothing").write_bytes(b"")
    (folder / "large").write_bytes(os.urandom(5 * 2**20))
    return folder


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_a_directory_comes_back_as_it_was(any_store, source, tmp_path):
    checkpoints = CheckpointStore(any_store.url)
    ref = checkpoints.save("trial-00001", 3, source)
    assert json.loads(json.dumps(ref)) == ref
    assert sorted(ref) == ["iteration", "manifest_sha256", "path", "size_bytes"]
    assert (ref["iteration"], ref["size_bytes"]) == (3, 3000 + 12 + 5 * 2**20)
    assert ref["path"].startswith("ckpt/trial-00001/")
    pickle.loads(pickle.dumps(checkpoints)).restore(ref, tmp_path / "target")
    assert tree(tmp_path / "target") == tree(source)
    checkpoints.delete(ref)
    checkpoints.delete(ref)
    assert any_store.list("ckpt") == []


def test_an_empty_directory_is_a_checkpoint_too(store, tmp_path):
    (tmp_path / "none").mkdir()
    checkpoints = CheckpointStore(store.url)
    ref = checkpoints.save("t", 1, tmp_path / "none")
    checkpoints.restore(ref, tmp_path / "target")
    assert tree(tmp_path / "target") == {}


def test_links_are_followed_and_loops_refused(store, source, tmp_path):
    (source / "link").symlink_to(source / "model.bin")
    (source / "folder").symlink_to(source / "deep")
    checkpoints = CheckpointStore(store.url)
    checkpoints.restore(checkpoints.save("t", 1, source), tmp_path / "target")
    assert (tmp_path / "target" / "link").read_bytes() == (source / "model.bin").read_bytes()
    assert (tmp_path / "target" / "folder" / "er" / "ünï code.json").exists()
    (source / "deep" / "loop").symlink_to(source)
    with pytest.raises(StorageError, match="a symbolic link to a directory above it"):
        checkpoints.save("t", 2, source)


def test_the_manifest_comes_last_and_goes_first(store, source, monkeypatch):
    checkpoints = CheckpointStore(store.url)
    inner = checkpoints._store
    calls: list[str] = []
    for name in ("put", "put_file", "delete", "delete_prefix"):
        real = getattr(inner, name)
        monkeypatch.setattr(
            inner, name, lambda key, *rest, _r=real, _n=name: (calls.append(key), _r(key, *rest))
        )
    ref = checkpoints.save("t", 1, source)
    assert [key for key in calls if key.endswith("MANIFEST.json")] == calls[-1:]
    calls.clear()
    checkpoints.delete(ref)
    assert calls == [f"{ref['path']}/MANIFEST.json", ref["path"]]


@pytest.mark.parametrize("name", ["model.bin", "large", "deep/er/ünï code.json"])
def test_a_changed_file_is_named_and_not_handed_out(store, source, tmp_path, name):
    checkpoints = CheckpointStore(store.url)
    ref = checkpoints.save("t", 1, source)
    stored = Path(store.url, ref["path"], "files", name)
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    with pytest.raises(CorruptJournalError, match=f"files/{name}: got .* expected"):
        checkpoints.restore(ref, tmp_path / "target")
    assert not (tmp_path / "target" / name).exists()


@pytest.mark.parametrize("name", ["model.bin", "large"])
def test_a_missing_file_is_named(store, source, tmp_path, name):
    checkpoints = CheckpointStore(store.url)
    ref = checkpoints.save("t", 1, source)
    Path(store.url, ref["path"], "files", name).unlink()
    with pytest.raises(StorageError, match=f"files/{name}"):
        checkpoints.restore(ref, tmp_path / "target")


def test_a_missing_or_changed_manifest_is_named(store, source, tmp_path):
    checkpoints = CheckpointStore(store.url)
    ref = checkpoints.save("t", 1, source)
    manifest = Path(store.url, ref["path"], "MANIFEST.json")
    manifest.write_bytes(manifest.read_bytes().replace(b'"iteration":1', b'"iteration":2'))
    with pytest.raises(CorruptJournalError, match=r"MANIFEST\.json: not the manifest that the journal names"):
        checkpoints.restore(ref, tmp_path / "target")
    manifest.unlink()
    with pytest.raises(StorageError, match=r"MANIFEST\.json: this checkpoint was deleted or never completed"):
        checkpoints.restore(ref, tmp_path / "target")


def test_what_is_no_directory_or_no_reference_is_refused(store, tmp_path):
    checkpoints = CheckpointStore(store.url)
    with pytest.raises(StorageError, match="expected a directory"):
        checkpoints.save("t", 1, tmp_path / "nowhere")
    with pytest.raises(InvalidParameter, match="trial_id"):
        checkpoints.save("../x", 1, tmp_path)
    with pytest.raises(InvalidParameter, match="checkpoint path"):
        checkpoints.delete({"path": "ckpt/t/../../log"})


def test_orphans_are_collected_and_nothing_that_lives(any_store, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "model").write_bytes(b"weights")
    checkpoints = CheckpointStore(any_store.url)

    def saved(trial, lease):
        return checkpoints.save(trial, 1, tmp_path / "source", lease=lease)

    kept = [saved("a", 1), saved("a", 2), saved("gone", 7)]
    dead = [saved("a", 1), saved("a", 2), saved("b", 0), saved("b", 10)]
    live = [saved("a", 3), saved("a", 20), saved("b", 11), saved("new", 1), saved("a", None)]
    half = f"ckpt/b/2-{'0' * 32}"
    any_store.put(f"{half}/files/model", b"an upload that broke off")
    foreign = "ckpt/b/notes/readme"
    any_store.put(foreign, b"somebody else's")

    keep = [ref["path"] for ref in kept]
    assert checkpoints.collect_orphans(keep, ended={"a": 2, "b": 10, "gone": 9, "none": 5}) == len(dead) + 1
    assert set(any_store.folders("ckpt", depth=2)) == {*(r["path"] for r in kept + live), "ckpt/b/notes"}
    for number, ref in enumerate(kept + live):
        checkpoints.restore(ref, tmp_path / f"target-{number}")
    assert checkpoints.collect_orphans(keep, ended={"a": 2, "b": 10}) == 0


def test_an_orphan_of_which_only_a_temporary_file_is_left_is_collected_too(store):
    torso = Path(store.url, "ckpt", "t", f"1-{'0' * 32}", "files")
    torso.mkdir(parents=True)
    (torso / ".tmp-0123456789abcdef").write_bytes(b"half of a large file")
    assert CheckpointStore(store.url).collect_orphans([], ended={"t": 1}) == 1
    assert not torso.parent.exists()


def test_without_checkpoints_there_are_no_orphans(any_store):
    assert CheckpointStore(any_store.url).collect_orphans([], ended={"t": 1}) == 0
