"""Where checkpoints go, and where they lie in the worker until then."""

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tune_flows.core.errors import InfrastructureError

__all__ = ["CheckpointTransport", "Scratch", "local_disk"]


class CheckpointTransport(Protocol):
    """Where checkpoints go: `tune_flows.store.CheckpointStore`, or the simulated executor's memory."""

    def save(self, trial_id: str, iteration: int, source: Path, *, lease: int) -> Mapping[str, Any]:
        """Make the folder `source` durable for this lease; the fields of its `CheckpointRef`.

        May be called on a thread of its own, one call at a time.
        """
        ...

    def restore(self, ref: Mapping[str, Any], target: Path) -> None:
        """Bring the checkpoint with the fields `ref` into the folder `target`, made if need be."""
        ...


@contextmanager
def local_disk(doing: str) -> Generator[None, None, None]:
    """What the disk refuses in the block is the machine's fault: it becomes an `InfrastructureError`."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(f"{doing} failed: {error}") from error


class Scratch:
    """Local folders of one trial, made when first asked for and removed with it.

    Every method that makes one raises `InfrastructureError` where that is not possible.

    Args:
        base: Folder they lie in; None: the system's folder for temporary files.
        name: The trial's id, with which their names begin.
    """

    def __init__(self, base: Path | None, name: str) -> None:
        self._base = base
        self._name = name
        self._root: Path | None = None

    @property
    def trial_dir(self) -> Path:
        """The folder that the trial may use as it likes."""
        with self._making():
            folder = self._in_root() / "work"
            folder.mkdir(exist_ok=True)
        return folder

    def fresh(self) -> Path:
        """A new empty folder."""
        with self._making():
            return Path(tempfile.mkdtemp(prefix="checkpoint-", dir=self._in_root()))

    @contextmanager
    def folder(self) -> Generator[Path, None, None]:
        """A new empty folder, removed at the end of the block."""
        folder = self.fresh()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove everything."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None

    def _making(self) -> AbstractContextManager[None]:
        return local_disk(f"{self._name}: making a local folder")

    def _in_root(self) -> Path:
        if self._root is None:
            if self._base is not None:
                self._base.mkdir(parents=True, exist_ok=True)
            self._root = Path(tempfile.mkdtemp(prefix=f"{self._name}-", dir=self._base))
        return self._root
