"""A create-only object store at one URL prefix: a local folder, S3 or another fsspec protocol.

Rules:
- `create` is the only commit. It is atomic and durable, exactly one of several creators of a key wins, and a
  success whose reply was lost is detected by comparing bytes. An unknown outcome is resolved by a retry with
  the same bytes.
- All retries happen here (`Retry`); a StorageError was either final or lasted longer than the retry budget.
- Credentials come from the environment of each process or from the StorageAccess. Only the latter transfers
  them to other processes; it keeps them secret, since every attempt runs under its `guard`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

from tune_flows.core.errors import InvalidParameter, StorageError
from tune_flows.store._local import LocalFolder
from tune_flows.store._remote import FsspecFolder
from tune_flows.store.access import ENVIRONMENT, StorageAccess
from tune_flows.store.locations import is_local, local_path
from tune_flows.store.retry import Retry

__all__ = ["ObjectStore"]

T = TypeVar("T")
_PROBE_BUDGET_S = 10.0


class _Folder(Protocol):
    """The common interface of `_local` and `_remote`; each method is one attempt and raises any error."""

    local: bool
    read_width: int

    def create(self, key: str, data: bytes) -> bool: ...
    def read(self, key: str) -> bytes | None: ...
    def write(self, key: str, data: bytes) -> None: ...
    def upload(self, key: str, path: Path) -> None: ...
    def download(self, key: str, path: Path) -> bool: ...
    def remove(self, key: str) -> None: ...
    def remove_folder(self, prefix: str) -> None: ...
    def folders(self, prefix: str, depth: int) -> list[str]: ...
    def list(self, prefix: str) -> list[str]: ...
    def first_after(self, prefix: str, key: str) -> str | None: ...
    def below(self, folder: str) -> "_Folder": ...


class ObjectStore:
    """Objects under one URL; keys are relative, with `/` between their parts.

    Every method may block for the duration of the retry budget and then raises StorageError. Thread-safe.

    Args:
        url: A local path or a URL (`locations.resolve_storage`, `locations.experiment_url`).
        access: Options of the file system at a URL, such as an endpoint and credentials.
        retry_budget_s: Seconds for which a failing operation is repeated; 0: no retries, inf: no limit.

    Raises:
        InvalidParameter: The budget is negative or NaN. Final.
    """

    def __init__(
        self, url: str, *, access: StorageAccess = ENVIRONMENT, retry_budget_s: float = 60.0
    ) -> None:
        self._access = access
        if not retry_budget_s >= 0:
            raise InvalidParameter.of("retry_budget_s", retry_budget_s, "seconds, 0 or more")
        self._retry = Retry(budget_s=retry_budget_s)
        if is_local(url):
            self._url = local_path(url)
            self._folder: _Folder = LocalFolder(self._url)
        else:
            self._url = url.rstrip("/")
            self._folder = FsspecFolder(self._url, access)

    @property
    def url(self) -> str:
        """The location of the objects: an absolute path or a URL, without a trailing slash."""
        return self._url

    @property
    def access(self) -> StorageAccess:
        """The access options of the storage."""
        return self._access

    @property
    def read_width(self) -> int:
        """The number of parallel reads that is worthwhile."""
        return self._folder.read_width

    def url_of(self, key: str) -> str:
        """Return the full path or URL of one object, for messages."""
        return f"{self._url}/{key}"

    def create(self, key: str, data: bytes) -> bool:
        """Commit a new object. Return True if it now has these bytes, False if the key has other content."""
        _check_key(key)

        def attempt() -> bool:
            if self._folder.create(key, data):
                return True
            found = self._folder.read(key)
            if found is None:  # it was deleted in between
                raise TimeoutError("the server refused the object as existing and then did not have it")
            return found == data

        return self._call(attempt, "create", key)

    def get(self, key: str) -> bytes | None:
        """Return the object's bytes, or None if it does not exist."""
        _check_key(key)
        return self._call(lambda: self._folder.read(key), "read", key)

    def put(self, key: str, data: bytes) -> None:
        """Create or replace an object, for content that can be derived again (tables). Atomic for readers."""
        _check_key(key)
        self._call(lambda: self._folder.write(key, data), "write", key)

    def put_file(self, key: str, path: Path) -> None:
        """Create or replace an object from a file without loading the file into memory."""
        _check_key(key)
        _require_file(path)
        self._call(lambda: self._folder.upload(key, path), "write", key)

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object into a local file, whose folder must exist.

        Raises:
            StorageError: The object does not exist. Final.
        """
        _check_key(key)
        if not self._call(lambda: self._folder.download(key, path), "read", key):
            raise StorageError(f"read {self.url_of(key)}: there is no such object.")

    def delete(self, key: str) -> None:
        """Delete the object if it exists."""
        _check_key(key)
        self._call(lambda: self._folder.remove(key), "delete", key)

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object below the folder `prefix`, if there are any."""
        _check_key(prefix)
        self._call(lambda: self._folder.remove_folder(prefix.rstrip("/")), "delete", prefix)

    def folders(self, prefix: str = "", *, depth: int = 1) -> list[str]:
        """Return the folders `depth` levels below the folder `prefix`, sorted; empty means the URL itself.

        On S3, a depth of 1 costs one request per 1000 names in the folder; a larger one, a LIST of all keys.
        """
        if prefix:
            _check_key(prefix)
        return self._call(lambda: sorted(self._folder.folders(prefix, depth)), "list", prefix)

    def list(self, prefix: str = "") -> list[str]:
        """Return every key below the folder `prefix`, sorted; an empty prefix lists everything."""
        if prefix:
            _check_key(prefix)
        return self._call(lambda: sorted(self._folder.list(prefix.rstrip("/"))), "list", prefix)

    def first_after(self, prefix: str, key: str) -> str | None:
        """Return the first key in the folder `prefix` that sorts after `key`, or None if there is none.

        `key` need not exist. Costs one request on S3, regardless of the number of objects.
        """
        _check_key(key)
        return self._call(lambda: self._folder.first_after(prefix, key), "list", prefix)

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Stop retrying current and later operations once `after_s` seconds have passed.

        An operation that fails after that raises a StorageError that says so. Callable from any thread;
        pickled copies of this object are not affected. A running attempt is not interrupted.
        """
        self._retry.abandon_after(after_s)

    def check_writable(self, *, budget_s: float = _PROBE_BUDGET_S) -> None:
        """Check with a random key that this process can create exclusively, read and delete here.

        Raises:
            StorageError: The check failed; the message names storage_path and says what to do.
        """
        probe = self.with_budget(budget_s)
        try:
            probe._probe()
        except StorageError as error:
            raise StorageError(
                f"storage_path: got {self._url!r}, expected a place where this process can create, read and "
                f"delete. {error}"
            ) from error

    def _probe(self) -> None:
        key = f".probe-{uuid4().hex}"
        first, second = b"tune_flows probe 1\n", b"tune_flows probe 2\n"
        created = self.create(key, first)
        try:
            if not created or self.create(key, second) or self.get(key) != first:
                raise StorageError(
                    "The storage overwrites what a create-only write must refuse (on S3: it ignores "
                    "If-None-Match), so two drivers could not be told apart. Use AWS S3, a server that has "
                    "conditional writes, or a local folder."
                )
        finally:
            self.delete(key)

    def below(self, folder: str) -> "ObjectStore":
        """Return a store for the folder `folder` of this one, using the same connections."""
        _check_key(folder)
        other = object.__new__(ObjectStore)
        url, inside = f"{self._url}/{folder}", self._folder.below(folder)
        other.__dict__.update(self.__dict__, _url=url, _folder=inside)
        return other

    def with_budget(self, budget_s: float) -> "ObjectStore":
        """Return a store of the same objects and connections with another retry budget, in seconds."""
        other = object.__new__(ObjectStore)
        other.__dict__.update(self.__dict__, _retry=replace(self._retry, budget_s=budget_s))
        return other

    def _call(self, operation: Callable[[], T], verb: str, key: str) -> T:
        what = f"{verb} {self.url_of(key)}{self._access}"
        if self._folder.local:
            return self._retry.call(operation, what=what, local=True)
        return self._retry.call(partial(self._access.guard, operation), what=what, local=False)

    def __getstate__(self) -> tuple[str, StorageAccess, float]:
        return self._url, self._access, self._retry.budget_s

    def __setstate__(self, state: tuple[str, StorageAccess, float]) -> None:
        url, access, budget_s = state
        self.__init__(url, access=access, retry_budget_s=budget_s)

    def __repr__(self) -> str:
        return f"ObjectStore({self._url!r})"


def _check_key(key: str) -> None:
    if not key or key[0] == "/" or (".." in key and ".." in key.split("/")):
        raise InvalidParameter.of("key", key, "a relative path without '..'")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise StorageError(f"{path}: expected a file to store, found none.")
