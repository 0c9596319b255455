"""A store that counts what goes through it, at the seam where each call is one request to S3."""

from collections import Counter
from pathlib import Path

from tune_flows.store import ObjectStore

KINDS = {"log": "log", "pack": "packs", "snap": "snapshots", "ckpt": "checkpoints"}
"""What the objects under a prefix are; all others are `other`."""


class CountingStore(ObjectStore):
    """Counts requests and bytes written by kind of object. Each kind is written by one thread."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.puts: Counter[str] = Counter()
        self.put_bytes: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        """GETs, LISTs and DELETEs."""

    def create(self, key: str, data: bytes) -> bool:
        self._count_put(key, len(data))
        return super().create(key, data)

    def put(self, key: str, data: bytes) -> None:
        self._count_put(key, len(data))
        super().put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        self._count_put(key, path.stat().st_size)
        super().put_file(key, path)

    def get(self, key: str) -> bytes | None:
        self.others[kind(key)] += 1
        return super().get(key)

    def delete(self, key: str) -> None:
        self.others[kind(key)] += 1
        super().delete(key)

    def list(self, prefix: str = "") -> list[str]:
        self.others[kind(prefix)] += 1
        return super().list(prefix)

    def first_after(self, prefix: str, key: str) -> str | None:
        self.others[kind(prefix)] += 1
        return super().first_after(prefix, key)

    def _count_put(self, key: str, size_bytes: int) -> None:
        self.puts[kind(key)] += 1
        self.put_bytes[kind(key)] += size_bytes


def kind(key: str) -> str:
    return KINDS.get(key.partition("/")[0], "other")
