"""Checkpoints of trials: directories, stored file by file; a checkpoint is complete or does not exist.

Each save uses a new folder `ckpt/<trial>/<lease>-<uuid>/`: the files first, MANIFEST.json with their sizes
and checksums last. A checkpoint is committed by the journal record with the returned reference; a folder
that no record names is an orphan once the lease in its name has ended. A reference is relative to the
experiment's URL, so that an experiment can be moved.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from uuid import uuid4

from tune_flows.core.errors import CorruptJournalError, InvalidParameter, StorageError
from tune_flows.store.access import ENVIRONMENT, StorageAccess
from tune_flows.store.envelope import decode_envelope, encode_envelope
from tune_flows.store.objects import ObjectStore

__all__ = ["CHECKPOINT_PREFIX", "CheckpointStore"]

CHECKPOINT_PREFIX = "ckpt"
_MANIFEST = "MANIFEST.json"
_WIDTH = 8
# Up to this size a file is read once and sent from memory; up to eight are sent in parallel.
_IN_MEMORY_BYTES = 4 * 2**20
_TRIAL_ID = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,200}")
_REF_PATH = re.compile(rf"{CHECKPOINT_PREFIX}/([A-Za-z0-9._-]+)/(?:([0-9]+)-)?[0-9a-f]{{32}}")
T = TypeVar("T")


class CheckpointStore:
    """Saves, restores and deletes the checkpoint directories of one experiment; for use inside workers.

    Its pickle contains the options of `access`, so that workers can use them.

    Args:
        url: The experiment's URL.
        access: As for `ObjectStore`.
        retry_budget_s: As for `ObjectStore`.
    """

    def __init__(
        self, url: str, *, access: StorageAccess = ENVIRONMENT, retry_budget_s: float = 60.0
    ) -> None:
        self._store = ObjectStore(url, access=access, retry_budget_s=retry_budget_s)

    def save(
        self, trial_id: str, iteration: int, source: Path, *, lease: int | None = None
    ) -> dict[str, Any]:
        """Store a directory, which must not change meanwhile; return a small JSON reference to it.

        Symbolic links are followed. Empty directories are kept; modes and times are not.

        Args:
            trial_id: ID of the trial.
            iteration: The trial's iteration.
            source: The directory.
            lease: Number of the trial's lease that saves; None: the folder never counts as an orphan.

        Raises:
            StorageError: The storage refused or did not answer, or `source` is not a directory.
        """
        if not _TRIAL_ID.fullmatch(trial_id):
            raise InvalidParameter.of("trial_id", trial_id, "1 to 200 letters, digits, '.', '_' or '-'")
        names, empty = _tree(source)
        by = "" if lease is None else f"{lease}-"
        path = f"{CHECKPOINT_PREFIX}/{trial_id}/{by}{uuid4().hex}"
        files = _side_by_side(lambda name: self._send(path, source, name), names)
        head = {
            "kind": "manifest",
            "trial_id": trial_id,
            "iteration": iteration,
            "files": files,
            "directories": empty,
        }
        manifest = encode_envelope(head)
        self._store.put(f"{path}/{_MANIFEST}", manifest)
        return {
            "path": path,
            "iteration": iteration,
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
            "size_bytes": sum(file["size_bytes"] for file in files),
        }

    def restore(self, ref: Mapping[str, Any], target: Path) -> None:
        """Restore a checkpoint into the directory `target`, created if necessary, and verify every file.

        Raises:
            CorruptJournalError: The manifest or a file (named) differs from what was saved. Final.
            StorageError: The manifest or a file is missing, or the storage did not answer.
        """
        path = _ref_path(ref)
        key = f"{path}/{_MANIFEST}"
        manifest = self._store.get(key)
        if manifest is None:
            raise StorageError(f"{self._store.url_of(key)}: this checkpoint was deleted or never completed.")
        if hashlib.sha256(manifest).hexdigest() != ref["manifest_sha256"]:
            raise CorruptJournalError(f"{self._store.url_of(key)}: not the manifest that the journal names.")
        head, _ = decode_envelope(manifest, where=self._store.url_of(key), kind="manifest")
        files: list[dict[str, Any]] = head["files"]
        parents = {str(PurePosixPath(file["path"]).parent) for file in files}
        for folder in [".", *sorted(parents), *head["directories"]]:
            (target / folder).mkdir(parents=True, exist_ok=True)
        _side_by_side(lambda file: self._fetch(path, file, target), files)

    def delete(self, ref: Mapping[str, Any]) -> None:
        """Delete a checkpoint, its manifest first, if it exists."""
        self._delete(_ref_path(ref))

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Stop retrying after `after_s` seconds, as `ObjectStore.abandon_after` does."""
        self._store.abandon_after(after_s)

    def collect_orphans(self, keep: Collection[str], *, ended: Mapping[str, int]) -> int:
        """Delete folders of ended leases that no reference names; return the number of folders.

        Safe while workers and other drivers run: a lease is committed before its worker starts. Leases with
        numbers above those in `ended`, and trials that are not in it, are never touched.

        Args:
            keep: `path` of every reference in the experiment's state, of all trials.
            ended: By trial, its newest lease from which no checkpoint can be committed any more: for a driver
                that has just taken over and has launched nothing yet, the newest lease of each trial.

        Raises:
            StorageError: The storage refused or did not answer; some may be deleted.
        """
        kept = set(keep)
        folders = [path for path in self._store.folders(CHECKPOINT_PREFIX, depth=2) if path not in kept]
        orphans = [path for path in folders if _is_over(path, ended)]
        _side_by_side(self._delete, orphans)
        return len(orphans)

    def _delete(self, path: str) -> None:
        self._store.delete(f"{path}/{_MANIFEST}")
        self._store.delete_prefix(path)

    def _send(self, path: str, source: Path, name: str) -> dict[str, Any]:
        file, key = source / name, f"{path}/files/{name}"
        size = file.stat().st_size
        if size <= _IN_MEMORY_BYTES:
            data = file.read_bytes()
            self._store.put(key, data)
            return {"path": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        digest = _file_sha256(file)
        self._store.put_file(key, file)
        return {"path": name, "size_bytes": size, "sha256": digest}

    def _fetch(self, path: str, file: dict[str, Any], target: Path) -> None:
        key = f"{path}/files/{file['path']}"
        local = target / file["path"]
        if file["size_bytes"] <= _IN_MEMORY_BYTES:
            data = self._store.get(key)
            if data is None:
                raise StorageError(f"{self._store.url_of(key)}: the file is gone from the checkpoint.")
            size, digest = len(data), hashlib.sha256(data).hexdigest()
            local.write_bytes(data)
        else:
            self._store.get_file(key, local)
            size, digest = local.stat().st_size, _file_sha256(local)
        if size != file["size_bytes"] or digest != file["sha256"]:
            local.unlink(missing_ok=True)
            raise CorruptJournalError(
                f"{self._store.url_of(key)}: got {size} bytes with sha256 {digest}, expected "
                f"{file['size_bytes']} bytes with {file['sha256']}: it was changed after it was saved."
            )


def _side_by_side(work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    todo = list(items)
    if len(todo) <= 1:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(_WIDTH, len(todo)), thread_name_prefix="tune-flows-ckpt") as pool:
        return list(pool.map(work, todo))


def _tree(source: Path) -> tuple[list[str], list[str]]:
    """Return the files and the empty directories below `source`: relative paths with `/`, sorted."""
    if not source.is_dir():
        raise StorageError(f"{source}: expected a directory to store as checkpoint, found none.")
    files: list[str] = []
    empty: list[str] = []
    above: dict[str, set[str]] = {}
    for folder, folders, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        seen = above.get(os.path.dirname(folder), set[str]())
        if real in seen:
            raise StorageError(f"{folder}: a symbolic link to a directory above it; a checkpoint must end.")
        above[folder] = seen | {real}
        inside = Path(folder).relative_to(source)
        files.extend((inside / name).as_posix() for name in names)
        if not folders and not names and folder != str(source):
            empty.append(inside.as_posix())
    return sorted(files), sorted(empty)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ref_path(ref: Mapping[str, Any]) -> str:
    path = str(ref["path"])
    if not _REF_PATH.fullmatch(path):
        raise InvalidParameter.of(
            "checkpoint path", path, f"{CHECKPOINT_PREFIX}/<trial>/<lease>-<32 hex digits>"
        )
    return path


def _is_over(path: str, ended: Mapping[str, int]) -> bool:
    found = _REF_PATH.fullmatch(path)
    return found is not None and found[2] is not None and int(found[2]) <= ended.get(found[1], -1)
