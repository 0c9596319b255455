"""Carries the checkpoints of one trial between the worker and the storage.

Rules of this module:

- One upload is under way at most; the next one waits for it.
- A checkpoint is handed over only after the result of its iteration, or with it: a trial that went on from
  there would never report that result.
- A failed upload fails everything that is asked of the courier from then on: the lease is to end.
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
    """Carries the checkpoints of one trial, and tells faults of the storage from those of the user's code.

    Args:
        transport: Where checkpoints go.
        trial_id: Whose checkpoints they are.
        lease: The lease that saves them.
        metrics: Names of the values to note with each checkpoint.
        beside: Whether uploads travel on a thread of their own while training goes on.
        clock: Told that the trial is alive when it has waited for the storage.
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
        """Whether somebody waits for the storage; from any thread."""
        return self._awaited > 0

    def submit(self, iteration: int, folder: Path, result: Result | None) -> None:
        """Make a folder durable as the checkpoint of `iteration`; waits for the upload before it.

        Args:
            iteration: The trial's iteration.
            folder: Nobody else's from now on; removed once it is stored.
            result: What that iteration reported; None: nothing.

        Raises:
            InfrastructureError: The storage failed, now or with the upload before, or the trial ends.
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
        """Wait until what was sent is durable.

        Raises:
            InfrastructureError: The storage failed, or the trial ends meanwhile.
        """
        with self._changed, self._waiting():
            self._changed.wait_for(lambda: self._closed or not self._under_way)
            self._require_open()

    def check(self) -> None:
        """Nothing, if no upload has failed.

        Raises:
            InfrastructureError: One has.
        """
        if self._failure is not None:
            raise self._failure

    def take(self, up_to: int) -> tuple[CheckpointRef, ...]:
        """The durable checkpoints since the last call, none of an iteration beyond `up_to`."""
        with self._changed:
            taken = tuple(ref for ref in self._arrived if ref.iteration <= up_to)
            self._arrived = [ref for ref in self._arrived if ref.iteration > up_to]
        return taken

    def close(self) -> None:
        """Take nothing more; whoever waits to send or for an upload, on another thread, waits no longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until no upload is under way, however that went; whether that came in time."""
        with self._changed, self._waiting():
            return self._changed.wait_for(lambda: not self._under_way, timeout_s)

    def fetch(self, ref: CheckpointRef, target: Path) -> None:
        """Bring a checkpoint into the folder `target`; the trial then stands on it.

        Raises:
            RestoreError: The storage failed, or what it holds is damaged.
        """
        try:
            with self._waiting():
                self._transport.restore(asdict(ref), target)
        except Exception as error:
            raise RestoreError(str(self._failed(ref.iteration, "restoring", error))) from error
        self.newest_iteration = ref.iteration

    @contextmanager
    def _waiting(self) -> Generator[None]:
        """Time in here is the storage's."""
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
        finally:  # whatever it was, nobody may wait for ever
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
    """The values of the result under these names, as far as they are finite numbers."""
    noted: dict[str, float] = {}
    for name in names:
        value = result.value(name) if result is not None else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond every float
            continue
        if math.isfinite(number):
            noted[name] = number
    return noted
