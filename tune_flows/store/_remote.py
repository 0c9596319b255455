"""Objects at a URL through fsspec: S3 (s3fs) or another file system with a create-only `pipe_file`."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

from tune_flows.store.access import StorageAccess
from tune_flows.store.faults import is_missing, is_taken
from tune_flows.store.locations import protocol_of

__all__ = ["FsspecFolder"]

T = TypeVar("T")
_MIB = 2**20
_SLOWEST_BYTES_PER_S = _MIB // 4
_DELETE_WIDTH = 8
_S3_OPTIONS: dict[str, Any] = {
    # With the cache, reads raised FileNotFoundError for objects created by other processes.
    "use_listings_cache": False,
    # One instance per store: a shared one could keep an outdated endpoint or outdated credentials.
    "skip_instance_cache": True,
}
_S3_CONFIG: dict[str, Any] = {
    "retries": {"total_max_attempts": 1},
    # Timeouts of one attempt (s). A timed-out write may still arrive, so a retry sends the same bytes.
    "connect_timeout": 3,
    "read_timeout": 5,
    "max_pool_connections": 32,
}
# 8 MiB parts, four at a time: as fast for large files as the defaults, with an eighth of the memory.
_S3_TRANSFER: dict[str, Any] = {"chunksize": 8 * _MIB, "max_concurrency": 4}


class FsspecFolder:
    """A backend of `ObjectStore` for one URL prefix; each process creates its own file system object."""

    local = False
    read_width = 24

    def __init__(self, url: str, access: StorageAccess) -> None:
        self._url = url
        self._access = access
        self._is_s3 = protocol_of(url) == "s3"
        self._opening = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self._process = 0

    def below(self, folder: str) -> "FsspecFolder":
        """Return a subfolder with the same file system object: creating one costs more than many requests."""
        other = FsspecFolder(f"{self._url}/{folder}", self._access)
        fs, root = self._open()
        other._opened, other._process = (fs, f"{root}/{folder}"), self._process
        return other

    def create(self, key: str, data: bytes) -> bool:
        """Create the object; False if it exists, even from an earlier attempt whose reply was lost."""
        fs, path = self._at(key)
        try:
            fs.pipe_file(path, data, mode="create", **self._patience(len(data)))
        except Exception as error:
            if is_taken(error):
                return False
            raise
        return True

    def read(self, key: str) -> bytes | None:
        """Return the object's bytes, or None if it does not exist."""
        fs, path = self._at(key)
        # max_concurrency=1: one GET instead of HEAD and GET.
        options = {"max_concurrency": 1} if self._is_s3 else {}
        return _unless_missing(lambda: bytes(fs.cat_file(path, **options)))

    def write(self, key: str, data: bytes) -> None:
        """Create or replace the object."""
        fs, path = self._at(key)
        fs.pipe_file(path, data, **self._patience(len(data)))

    def upload(self, key: str, path: Path) -> None:
        """Create or replace the object with a copy of a file."""
        fs, target = self._at(key)
        options = {**_S3_TRANSFER, **self._patience(path.stat().st_size)} if self._is_s3 else {}
        fs.put_file(str(path), target, **options)

    def download(self, key: str, path: Path) -> bool:
        """Copy the object into a file; return whether the object exists."""
        fs, source = self._at(key)
        options = _S3_TRANSFER if self._is_s3 else {}

        def fetch() -> bool:
            fs.get_file(source, str(path), **options)
            return True

        return _unless_missing(fetch) or False

    def remove(self, key: str) -> None:
        """Delete the object if it exists."""
        fs, path = self._at(key)
        _unless_missing(lambda: fs.rm_file(path))

    def remove_folder(self, prefix: str) -> None:
        """Delete everything below a key prefix, one by one: not every server has a bulk delete."""
        keys = self.list(prefix)
        if keys:
            with ThreadPoolExecutor(min(_DELETE_WIDTH, len(keys))) as pool:
                list(pool.map(self.remove, keys))

    def folders(self, prefix: str, depth: int) -> list[str]:
        """Return the folders `depth` levels below a key prefix."""
        if depth == 1:
            return self._folders_in(prefix)
        level = prefix.count("/") + depth + 1
        parts = (key.split("/") for key in self.list(prefix))
        return list({"/".join(part[:level]): None for part in parts if len(part) > level})

    def _folders_in(self, prefix: str) -> list[str]:
        fs, top = self._at(prefix)
        root = self._open()[1]
        inside = _unless_missing(lambda: cast("list[dict[str, Any]]", fs.ls(top, detail=True))) or []
        paths = [cast("str", one["name"]).rstrip("/") for one in inside if one["type"] == "directory"]
        return [path[len(root) + 1 :] for path in paths]

    def list(self, prefix: str) -> list[str]:
        """Return every key below a prefix, unordered."""
        fs, top = self._at(prefix)
        root = self._open()[1]
        paths = _unless_missing(lambda: cast("list[str]", fs.find(top))) or []
        # S3 returns the object itself if the "folder" is an object.
        return [path[len(root) + 1 :] for path in paths if path.startswith(f"{top.rstrip('/')}/")]

    def first_after(self, prefix: str, key: str) -> str | None:
        """Return the first key below a prefix after `key`: one request on S3, a full LIST elsewhere."""
        keys = self._page_after(prefix, key) if self._is_s3 else None
        later = [found for found in (self.list(prefix) if keys is None else keys) if found > key]
        return min(later, default=None)

    def _page_after(self, prefix: str, key: str) -> Sequence[str] | None:
        """Return the first page of keys after `key`, or None if the server ignores StartAfter."""
        fs, path = self._at(prefix)
        root = self._open()[1]
        bucket, top, _ = fs.split_path(f"{path}/")
        inside = len(root) - len(bucket)  # length of the prefix before our keys in the bucket, with slash
        after = f"{root[len(bucket) + 1 :]}/{key}".lstrip("/")
        page: Any = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=top, StartAfter=after)
        keys = [cast("str", item["Key"])[inside:] for item in page.get("Contents", ())]
        ignored = bool(keys) and keys[0] <= key
        return None if ignored else keys

    def _at(self, key: str) -> tuple[Any, str]:
        fs, root = self._open()
        return fs, f"{root}/{key}" if key else root

    def _open(self) -> tuple[Any, str]:
        # After a fork, the instance is tied to an event loop whose thread does not exist in this process.
        if self._opened is None or self._process != os.getpid():
            with self._opening:
                if self._opened is None or self._process != os.getpid():
                    self._opened = self._connect()
                    self._process = os.getpid()
        return self._opened

    def _connect(self) -> tuple[Any, str]:
        import fsspec

        library: Any = fsspec  # fsspec has no type hints

        self._access.hide_in_logs()
        options = self._access.options
        if self._is_s3:
            options = _S3_OPTIONS | options | {"config_kwargs": self._s3_config()}
        fs, root = cast("tuple[Any, str]", library.url_to_fs(self._url, **options))
        if self._is_s3:
            fs.retries = 1
        return fs, root.rstrip("/")

    def _patience(self, size_bytes: int) -> dict[str, Any]:
        # The client's read timeout does not cover a server that never requests the body; this timeout does.
        if not self._is_s3:
            return {}
        config = self._s3_config()
        timeout_s = config["connect_timeout"] + config["read_timeout"] + size_bytes / _SLOWEST_BYTES_PER_S
        return {"timeout": timeout_s}

    def _s3_config(self) -> dict[str, Any]:
        return _S3_CONFIG | self._access.options.get("config_kwargs", {})


def _unless_missing(operation: Callable[[], T]) -> T | None:
    try:
        return operation()
    except FileNotFoundError as error:
        if is_missing(error):
            return None
        raise
