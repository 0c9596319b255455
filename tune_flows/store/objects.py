"""A create-only object store at one URL prefix: local folder, S3, or another protocol of fsspec.

Rules:
- `create` is the only commit. It is atomic and durable, exactly one of several creators of a key wins, and a
  win whose reply was lost is recognised by comparing bytes. An unknown outcome is resolved by trying again
  with the same bytes.
- All retries happen here (`Retry`); what comes out as StorageError was either final or outlasted the budget.
- Credentials come from the environment of each process, or from the StorageAccess, which alone carries them
  to other processes and hides them: every attempt runs under its guard.
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
    """What `_local` and `_remote` have in common; a method is one attempt and raises whatever goes wrong."""

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

    Every method may block for as long as the retry budget and raises StorageError beyond it. Safe to use from
    several threads.

    Args:
        url: A local path or a URL (`locations.resolve_storage`, `locations.experiment_url`).
        access: Options of the file system at a URL, such as an endpoint and credentials.
        retry_budget_s: Seconds for which a failing operation is repeated; 0: not at all, inf: for ever.

    Raises:
        InvalidParameter: The budget is no number of seconds. Final.
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
        """Where the objects lie: an absolute path or a URL, without a trailing slash."""
        return self._url

    @property
    def access(self) -> StorageAccess:
        """How they are reached."""
        return self._access

    @property
    def read_width(self) -> int:
        """How many reads at once pay off."""
        return self._folder.read_width

    def url_of(self, key: str) -> str:
        """The full path or URL of one object, for messages."""
        return f"{self._url}/{key}"

    def create(self, key: str, data: bytes) -> bool:
        """Commit a new object. True: it is there with these bytes. False: another content holds the key."""
        _check_key(key)

        def attempt() -> bool:
            if self._folder.create(key, data):
                return True
            found = self._folder.read(key)
            if found is None:  # somebody deleted it in between
                raise TimeoutError("the server refused the object as existing and then did not have it")
            return found == data

        return self._call(attempt, "create", key)

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None when there is no such object."""
        _check_key(key)
        return self._call(lambda: self._folder.read(key), "read", key)

    def put(self, key: str, data: bytes) -> None:
        """Make or replace an object: for what can be derived again, such as tables. Atomic for readers."""
        _check_key(key)
        self._call(lambda: self._folder.write(key, data), "write", key)

    def put_file(self, key: str, path: Path) -> None:
        """`put` of a file's content without holding it in memory."""
        _check_key(key)
        _require_file(path)
        self._call(lambda: self._folder.upload(key, path), "write", key)

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object into a local file, whose folder must exist.

        Raises:
            StorageError: There is no such object. Final.
        """
        _check_key(key)
        if not self._call(lambda: self._folder.download(key, path), "read", key):
            raise StorageError(f"read {self.url_of(key)}: there is no such object.")

    def delete(self, key: str) -> None:
        """Delete an object; none there is fine."""
        _check_key(key)
        self._call(lambda: self._folder.remove(key), "delete", key)

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object below the folder `prefix`; none there is fine."""
        _check_key(prefix)
        self._call(lambda: self._folder.remove_folder(prefix.rstrip("/")), "delete", prefix)

    def folders(self, prefix: str = "", *, depth: int = 1) -> list[str]:
        """The folders `depth` levels below the folder `prefix`, sorted; an empty prefix is the URL itself.

        On S3 a depth of 1 costs a request for each 1000 names in the folder, more a LIST of all they hold.
        """
        if prefix:
            _check_key(prefix)
        return self._call(lambda: sorted(self._folder.folders(prefix, depth)), "list", prefix)

    def list(self, prefix: str = "") -> list[str]:
        """Every key below the folder `prefix`, sorted; an empty prefix lists everything."""
        if prefix:
            _check_key(prefix)
        return self._call(lambda: sorted(self._folder.list(prefix.rstrip("/"))), "list", prefix)

    def first_after(self, prefix: str, key: str) -> str | None:
        """The first key in the folder `prefix` that sorts after `key`, which need not exist; None: none does.

        Costs one request on S3, however many objects there are.
        """
        _check_key(key)
        return self._call(lambda: self._folder.first_after(prefix, key), "list", prefix)

    def abandon_after(self, after_s: float = 0.0) -> None:
        """Operations under way and later ones are not tried again once `after_s` seconds have passed.

        What still fails then raises a StorageError that says so. From any thread; for this object, not for
        copies of it that travelled in a pickle. An attempt under way is not cut short.
        """
        self._retry.abandon_after(after_s)

    def check_writable(self, *, budget_s: float = _PROBE_BUDGET_S) -> None:
        """Prove with a random key that this process can create, read and delete here, and create exclusively.

        Raises:
            StorageError: It cannot; the message names storage_path and says what to do.
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
        """The objects in a folder of this one, by the same connections."""
        _check_key(folder)
        other = object.__new__(ObjectStore)
        url, inside = f"{self._url}/{folder}", self._folder.below(folder)
        other.__dict__.update(self.__dict__, _url=url, _folder=inside)
        return other

    def with_budget(self, budget_s: float) -> "ObjectStore":
        """The same objects by the same connections, with another retry budget (s)."""
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
