"""Checkpoints in this process's memory, for simulations."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tune_flows.core.errors import StorageError

__all__ = ["MemoryCheckpoints"]


class MemoryCheckpoints:
    """A `CheckpointTransport` in memory: lost when the process ends; empty folders are not kept."""

    def __init__(self) -> None:
        self._saved: dict[str, dict[str, bytes]] = {}
        self._count = 0

    def save(self, trial_id: str, iteration: int, source: Path, *, lease: int) -> dict[str, Any]:
        """Keep a copy of the files in `source`."""
        files = {
            file.relative_to(source).as_posix(): file.read_bytes()
            for file in sorted(source.rglob("*"))
            if file.is_file()
        }
        digest = hashlib.sha256()
        for name, data in files.items():
            digest.update(f"{name} {len(data)}\n".encode() + data)
        path = f"memory/{trial_id}/{lease}-{self._count:08d}"
        self._count += 1
        self._saved[path] = files
        return {
            "path": path,
            "iteration": iteration,
            "manifest_sha256": digest.hexdigest(),
            "size_bytes": sum(map(len, files.values())),
        }

    def restore(self, ref: Mapping[str, Any], target: Path) -> None:
        """Write the files of a checkpoint into `target`.

        Raises:
            StorageError: The checkpoint was never saved, or was deleted.
        """
        files = self._saved.get(str(ref["path"]))
        if files is None:
            raise StorageError(f"{ref['path']}: this checkpoint was deleted or never completed.")
        target.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)

    def delete(self, ref: Mapping[str, Any]) -> None:
        """Delete a checkpoint if it exists."""
        self._saved.pop(str(ref["path"]), None)

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Do nothing: access to memory never blocks."""

    def collect_orphans(self, keep: Collection[str], *, ended: Mapping[str, int]) -> int:
        """Delete the checkpoints of leases that are over, except those in `keep`; return how many."""
        orphans = [
            path
            for path in self._saved
            for _, trial_id, name in (path.split("/"),)
            if path not in keep and int(name.partition("-")[0]) <= ended.get(trial_id, -1)
        ]
        for path in orphans:
            del self._saved[path]
        return len(orphans)
