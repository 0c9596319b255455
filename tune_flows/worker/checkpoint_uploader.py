"""Transfers the checkpoints of one trial between the worker and the storage.

Rules of this module:

- At most one upload is under way; the next one waits for it.
- A checkpoint is handed over with the result of its iteration or later: a trial that resumes from the
  checkpoint would never report that result.
- After a failed upload, `submit`, `flush` and `check` raise its error, since the lease must end.
"""

import math
import shutil
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tune_flows.core.errors import InfrastructureError, RestoreError, TuneError
from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.worker.checkpoint_backend import CheckpointTransport
from tune_flows.worker.step_clock import StepClock

__all__ = ["CheckpointUploader"]


class CheckpointUploader:
    """Transfers the checkpoints of one trial, and separates errors of the storage from those of user code.

    Args:
        transport: Stores the checkpoints.
        trial_id: The trial that the checkpoints belong to.
        lease: The lease under which they are saved.
        metrics: Names of the metrics to record with each checkpoint.
        beside: Whether uploads run on a separate thread while training continues.
        clock: Receives a heartbeat after each wait for the storage.
    """

    def __init__(
        self,
        transport: CheckpointTransport,
        trial_id: str,
        lease: int,
        *,
        metrics: Sequence[str] = (),
        beside: bool = False,
        clock: StepClock | None = None,
    ) -> None:
        self._transport = transport
        self._trial_id = trial_id
        self._lease = lease
        self._metrics = metrics
        self._beside = beside
        self._changed = threading.Condition()
        self._under_way = self._closed = False
        self._failure: TuneError | None = None
        self._arrived: list[CheckpointRef] = []
        self._awaited = 0
        self._clock = clock or StepClock()
        self.newest_iteration: int | None = None
        """Iteration of the newest checkpoint that was sent or fetched."""

    @property
    def is_awaited(self) -> bool:
        """Whether a thread waits for the storage; may be read from any thread."""
        return self._awaited > 0

    def submit(self, iteration: int, folder: Path, result: Result | None) -> None:
        """Make a folder durable as the checkpoint of `iteration`, after the previous upload has finished.

        Args:
            iteration: The trial's iteration.
            folder: Owned by the uploader from now on; removed after the upload.
            result: The result of that iteration; None if there is none.

        Raises:
            InfrastructureError: The storage failed, now or in the previous upload, or the trial is ending.
        """
        with self._changed, self._waiting():
            self._changed.wait_for(lambda: self._closed or not self._under_way)
            self._require_open()
            self._under_way = True
        self.newest_iteration = iteration
        upload = partial(self._upload, iteration, folder, _noted(result, self._metrics))
        if self._beside:
            threading.Thread(target=upload, name=f"tune-upload-{self._trial_id}", daemon=True).start()
        else:
            with self._waiting():
                upload()
            self.check()

    def flush(self) -> None:
        """Wait until every checkpoint that was sent is durable.

        Raises:
            InfrastructureError: The storage failed, or the trial ends during the wait.
        """
        with self._changed, self._waiting():
            self._changed.wait_for(lambda: self._closed or not self._under_way)
            self._require_open()

    def check(self) -> None:
        """Raise the error of a failed upload, if there is one.

        Raises:
            InfrastructureError: An upload has failed.
        """
        if self._failure is not None:
            raise self._failure

    def take(self, up_to: int) -> tuple[CheckpointRef, ...]:
        """Return the durable checkpoints up to iteration `up_to` that were not taken before."""
        with self._changed:
            taken = tuple(ref for ref in self._arrived if ref.iteration <= up_to)
            self._arrived = [ref for ref in self._arrived if ref.iteration > up_to]
        return taken

    def close(self) -> None:
        """Accept no more checkpoints; threads waiting in `submit` or `flush` raise `InfrastructureError`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no upload is under way, successful or not; return False after `timeout_s` seconds."""
        with self._changed, self._waiting():
            return self._changed.wait_for(lambda: not self._under_way, timeout_s)

    def fetch(self, ref: CheckpointRef, target: Path) -> None:
        """Download a checkpoint into the folder `target`; it then counts as the trial's newest one.

        Raises:
            RestoreError: The storage failed, or the stored checkpoint is damaged.
        """
        try:
            with self._waiting():
                self._transport.restore(asdict(ref), target)
        except Exception as error:
            raise RestoreError(str(self._failed(ref.iteration, "restoring", error))) from error
        self.newest_iteration = ref.iteration

    @contextmanager
    def _waiting(self) -> Generator[None]:
        """Mark the time spent in the block as waiting for the storage."""
        with self._changed:
            self._awaited += 1
        try:
            yield
        finally:
            with self._changed:
                self._awaited -= 1
            self._clock.heartbeat()

    def _upload(self, iteration: int, folder: Path, metrics: dict[str, float]) -> None:
        ref: CheckpointRef | None = None
        failure: TuneError | None = None
        try:
            saved = self._transport.save(self._trial_id, iteration, folder, lease=self._lease)
            ref = CheckpointRef(**saved, metrics=metrics)
        except TuneError as error:
            failure = error
        except Exception as error:
            failure = self._failed(iteration, "storing", error)
            failure.__cause__ = error
        finally:  # after any exception, so that no thread waits forever
            shutil.rmtree(folder, ignore_errors=True)
            with self._changed:
                self._under_way = False
                if ref is not None:
                    self._arrived.append(ref)
                else:
                    self._failure = failure or self._failed(iteration, "storing", None)
                self._changed.notify_all()

    def _require_open(self) -> None:
        self.check()
        if self._closed:
            raise InfrastructureError(
                f"{self._trial_id}: the trial ends here, no checkpoint is taken any more."
            )

    def _failed(self, iteration: int, doing: str, error: Exception | None) -> InfrastructureError:
        why = "broken off" if error is None else f"{type(error).__name__}: {error}"
        return InfrastructureError(
            f"{self._trial_id}: {doing} the checkpoint of iteration {iteration} failed: {why}"
        )


def _noted(result: Result | None, names: Sequence[str]) -> dict[str, float]:
    """Return the values of the result under `names` that are finite numbers."""
    noted: dict[str, float] = {}
    for name in names:
        value = result.value(name) if result is not None else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        try:
            number = float(value)
        except OverflowError:  # an integer too large for a float
            continue
        if math.isfinite(number):
            noted[name] = number
    return noted
