"""Between the worker and the storage of checkpoints."""

import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from tune_flows.core.errors import InfrastructureError, TuneError
from tune_flows.core.trial import CheckpointRef

__all__ = ["CheckpointTransport", "Courier", "Scratch"]


class CheckpointTransport(Protocol):
    """Where checkpoints go: `tune_flows.store.CheckpointStore`, or the simulated executor's memory."""

    def save(self, trial_id: str, iteration: int, source: Path, *, lease: int) -> Mapping[str, Any]:
        """Make the folder `source` durable for this lease; the fields of its `CheckpointRef`."""
        ...

    def restore(self, ref: Mapping[str, Any], target: Path) -> None:
        """Bring the checkpoint with the fields `ref` into the folder `target`, made if need be."""
        ...


class Scratch:
    """Local folders of one trial, made when first asked for and removed with it.

    Args:
        base: Folder they lie in; None: the system's folder for temporary files.
        name: Part of their name.
    """

    def __init__(self, base: Path | None, name: str) -> None:
        self._base = base
        self._name = name
        self._root: Path | None = None

    @property
    def trial_dir(self) -> Path:
        """The folder that the trial may use as it likes."""
        folder = self._in_root() / "work"
        folder.mkdir(exist_ok=True)
        return folder

    def fresh(self) -> Path:
        """A new empty folder."""
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

    def _in_root(self) -> Path:
        if self._root is None:
            if self._base is not None:
                self._base.mkdir(parents=True, exist_ok=True)
            self._root = Path(tempfile.mkdtemp(prefix=f"{self._name}-", dir=self._base))
        return self._root


class Courier:
    """Carries the checkpoints of one trial, and tells faults of the storage from those of the user's code."""

    def __init__(
        self, transport: CheckpointTransport, trial_id: str, lease: int, newest: CheckpointRef | None
    ) -> None:
        self._transport = transport
        self._trial_id = trial_id
        self._lease = lease
        self.newest = newest
        """The checkpoint the trial would go on from."""

    def send(self, iteration: int, source: Path) -> CheckpointRef:
        """Make a folder durable as the checkpoint of `iteration`.

        Raises:
            InfrastructureError: The storage failed.
        """
        try:
            saved = self._transport.save(self._trial_id, iteration, source, lease=self._lease)
            self.newest = CheckpointRef(**saved)
        except TuneError:
            raise
        except Exception as error:
            raise InfrastructureError(self._message(iteration, "storing", error)) from error
        return self.newest

    def fetch(self, ref: CheckpointRef, target: Path) -> None:
        """Bring a checkpoint into the folder `target`; the trial then stands on it.

        Raises:
            InfrastructureError: The storage failed.
        """
        try:
            self._transport.restore(asdict(ref), target)
        except TuneError:
            raise
        except Exception as error:
            raise InfrastructureError(self._message(ref.iteration, "restoring", error)) from error
        self.newest = ref

    def _message(self, iteration: int, doing: str, error: Exception) -> str:
        return (
            f"{self._trial_id}: {doing} the checkpoint of iteration {iteration} failed: "
            f"{type(error).__name__}: {error}"
        )
