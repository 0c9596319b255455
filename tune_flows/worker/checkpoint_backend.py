"""The destination of checkpoints, and the worker's local folders for them until they are uploaded."""

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tune_flows.core.errors import InfrastructureError

__all__ = ["CheckpointTransport", "Scratch", "local_disk"]


class CheckpointTransport(Protocol):
    """Stores checkpoints: `tune_flows.store.CheckpointStore`, or the simulated executor's memory."""

    def save(self, trial_id: str, iteration: int, source: Path, *, lease: int) -> Mapping[str, Any]:
        """Make the folder `source` durable for this lease and return the fields of its `CheckpointRef`.

        May be called on a separate thread, one call at a time.
        """
        ...

    def restore(self, ref: Mapping[str, Any], target: Path) -> None:
        """Copy the checkpoint with the fields `ref` into the folder `target`, creating it if needed."""
        ...


@contextmanager
def local_disk(doing: str) -> Generator[None, None, None]:
    """Turn an `OSError` in the block into an `InfrastructureError`: the machine is at fault."""
    try:
        yield
    except OSError as error:
        raise InfrastructureError(f"{doing} failed: {error}") from error


class Scratch:
    """Local folders of one trial, created on first use and removed with the trial.

    Every method that creates a folder raises `InfrastructureError` if that fails.

    Args:
        base: Parent folder; None: the system's folder for temporary files.
        name: The trial's id, used as prefix of the folder names.
    """

    def __init__(self, base: Path | None, name: str) -> None:
        self._base = base
        self._name = name
        self._root: Path | None = None

    @property
    def trial_dir(self) -> Path:
        """The folder that the trial may use freely."""
        with self._making():
            folder = self._in_root() / "work"
            folder.mkdir(exist_ok=True)
        return folder

    def fresh(self) -> Path:
        """Create and return an empty folder."""
        with self._making():
            return Path(tempfile.mkdtemp(prefix="checkpoint-", dir=self._in_root()))

    @contextmanager
    def folder(self) -> Generator[Path, None, None]:
        """Create an empty folder and remove it at the end of the block."""
        folder = self.fresh()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove all folders."""
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
