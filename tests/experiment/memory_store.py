"""An object store in this process's memory: remembers its writes, and dies or loses replies on demand."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from tune_flows.store import CheckpointStore, ObjectStore

__all__ = ["Died", "MemoryFolder", "MemoryStore", "RemoteFolder", "Write", "checkpoints_in"]

Write = tuple[str, bytes | None]
"""Key and content of an object; None: it was deleted."""


class Died(BaseException):
    """The driver's process is gone; no handler of errors may take this for one."""


class MemoryFolder:
    """A backend of `ObjectStore`.

    Args:
        writes: What was written before, in order.
        dies_at: Number (from 1) of the write, of those from now on, at which the process dies.
        durable: Whether that write is still stored.
        loses_reply: Whether the reply to a write (its number) is lost, though it is stored.
    """

    local = False
    read_width = 1

    def __init__(
        self,
        writes: Iterable[Write] = (),
        *,
        dies_at: int | None = None,
        durable: bool = False,
        loses_reply: Callable[[int], bool] = lambda number: False,
    ) -> None:
        self._objects: dict[str, bytes] = {}
        for write in writes:
            self._store(write)
        self.writes: list[Write] = []
        """From now on, in the order in which they became durable."""
        self.lost_replies = 0
        self._dies_at = dies_at
        self._durable = durable
        self._loses_reply = loses_reply
        self._dead = False
        self._lock = threading.Lock()

    @property
    def state(self) -> list[Write]:
        """Writes that make this folder what it is now."""
        with self._lock:
            return list(self._objects.items())

    def create(self, key: str, data: bytes) -> bool:
        with self._lock:
            self._require_alive()
            if key in self._objects:
                return False
            self._write(key, data)
            return True

    def read(self, key: str) -> bytes | None:
        with self._lock:
            self._require_alive()
            return self._objects.get(key)

    def write(self, key: str, data: bytes) -> None:
        with self._lock:
            self._require_alive()
            self._write(key, data)

    def upload(self, key: str, path: Path) -> None:
        self.write(key, path.read_bytes())

    def download(self, key: str, path: Path) -> bool:
        data = self.read(key)
        if data is not None:
            path.write_bytes(data)
        return data is not None

    def remove(self, key: str) -> None:
        with self._lock:
            self._require_alive()
            if key in self._objects:
                self._write(key, None)

    def remove_folder(self, prefix: str) -> None:
        for key in self.list(prefix):  # one by one, as S3 does it
            self.remove(key)

    def folders(self, prefix: str, depth: int) -> list[str]:
        skip = prefix.count("/") + 1 if prefix else 0
        parts = (key.split("/") for key in self.list(prefix))
        return sorted({"/".join(part[: skip + depth]) for part in parts if len(part) > skip + depth})

    def list(self, prefix: str) -> list[str]:
        with self._lock:
            self._require_alive()
            return [key for key in self._objects if not prefix or key.startswith(f"{prefix}/")]

    def first_after(self, prefix: str, key: str) -> str | None:
        return min((other for other in self.list(prefix) if other > key), default=None)

    def _write(self, key: str, data: bytes | None) -> None:
        dies = len(self.writes) + 1 == self._dies_at
        if not dies or self._durable:
            self.writes.append((key, data))
            self._store((key, data))
        self._dead = dies
        self._require_alive()
        if self._loses_reply(len(self.writes)):
            self.lost_replies += 1
            raise TimeoutError(f"the reply to write {len(self.writes)} was lost")

    def _store(self, write: Write) -> None:
        key, data = write
        if data is None:
            del self._objects[key]
        else:
            self._objects[key] = data

    def _require_alive(self) -> None:
        if self._dead:
            raise Died


class RemoteFolder(MemoryFolder):
    """Many reads at once pay off here, as on S3, so that the log is packed; it remembers what was read."""

    read_width = 8

    def __init__(self, writes: Iterable[Write] = (), *, dies_at: int | None = None) -> None:
        super().__init__(writes, dies_at=dies_at)
        self.reads: list[str] = []

    def read(self, key: str) -> bytes | None:
        self.reads.append(key)
        return super().read(key)

    def reads_of(self, prefix: str) -> list[str]:
        """The keys below the folder that were asked for, in order."""
        return [key for key in self.reads if key.startswith(f"{prefix}/")]


class MemoryStore(ObjectStore):
    """The store on a `MemoryFolder`; it tries again without waiting."""

    def __init__(self, folder: MemoryFolder) -> None:
        super().__init__("/memory/experiment")
        self._folder = folder
        self._retry = replace(self._retry, sleep=lambda seconds: None)


def checkpoints_in(folder: MemoryFolder) -> CheckpointStore:
    """Checkpoints among the objects of the experiment."""
    checkpoints = CheckpointStore("/memory/experiment")
    checkpoints._store = MemoryStore(folder)
    return checkpoints
