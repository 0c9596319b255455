"""Runs one trial of a class Trainable; its steps run on the thread that calls `advance`."""

import os
import time
from pathlib import Path
from threading import Event
from typing import Any

from tune_flows.core.errors import TrainableError
from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.trainable.api import Trainable
from tune_flows.trainable.checkpoint import Checkpoint
from tune_flows.worker.checkpoint_backend import local_disk
from tune_flows.worker.messages import Outcome
from tune_flows.worker.metrics import flattened
from tune_flows.worker.run import RunParts
from tune_flows.worker.user_code import end_if_forked, log_cleanup_fault, trainable_error, user_code

__all__ = ["ClassRun"]

_PATIENCE = 0.05
"""Fraction of a step's time that a batch waits for an upload, in order to include the checkpoint."""


class ClassRun:
    """Steps a Trainable and saves its checkpoints.

    Args:
        parts: The objects that the host gives to every run.
        config: The trial's configuration; not copied.
        checkpoint: Checkpoint to start from; None: start from scratch.
        checkpoint_frequency: Number of iterations between two checkpoints; 0: never save.
        kept: Trainable of the previous trial, reused if its `reset_config` returns True.
    """

    def __init__(
        self,
        parts: RunParts,
        config: dict[str, Any],
        checkpoint: CheckpointRef | None,
        *,
        checkpoint_frequency: int,
        kept: Trainable | None = None,
    ) -> None:
        self._parts = parts
        self._tracker = parts.tracker
        self._frequency = checkpoint_frequency
        self._trainable: Trainable | None = kept
        try:
            self.restart(config, checkpoint)
        except BaseException:
            self.end()
            raise

    def restart(self, config: dict[str, Any], checkpoint: CheckpointRef | None) -> None:
        """Continue with `config` from `checkpoint`; the trial's iteration count continues."""
        kept = self._trainable
        with user_code():
            taken_over = kept is not None and bool(kept.reset_config(config))
        if kept is None or not taken_over:
            self.end()
            with user_code():
                kept = self._parts.spec.make(
                    config, trial_id=self._parts.trial_id, iteration=self._tracker.iteration
                )
        kept.config, kept.trial_id, kept.iteration = config, self._parts.trial_id, self._tracker.iteration
        self._trainable = kept
        if checkpoint is not None:
            self._load(kept, checkpoint)

    def advance(self, interrupted: Event, batch_s: float, max_results: int) -> Outcome:
        """Step until there is an outcome to return."""
        tracker, trainable, clock = self._tracker, self._standing(), self._parts.clock
        deadline, pid = time.monotonic() + batch_s, os.getpid()
        while True:
            if tracker.ended is not None:
                return Outcome.COMPLETED
            if tracker.due:
                return Outcome.WAITS
            if interrupted.is_set():
                return Outcome.INTERRUPTED
            self._parts.uploader.check()
            if tracker.results and (len(tracker.results) >= max_results or time.monotonic() >= deadline):
                # The next step may be long; a checkpoint stored during it would be handed over only after it.
                self._parts.uploader.wait(_PATIENCE * tracker.results[-1].time_this_iter_s)
                return Outcome.RUNNING
            clock.start()
            try:
                reported = trainable.step()
            except (Exception, SystemExit) as error:
                raise trainable_error(error) from error
            finally:
                end_if_forked(pid)
            seconds, timestamp = clock.lap(trainable.config, tracker.iteration + 1)
            metrics, done = flattened(reported)
            result, ends = tracker.evaluate(metrics, seconds, timestamp, reason="done" if done else None)
            trainable.iteration = result.iteration
            self._save_if_due(result)
            tracker.add(result, ends)

    def save(self) -> None:
        """Send a checkpoint of the current iteration, unless it exists already or the class saves none."""
        self._save(self._tracker.iteration, self._tracker.last)

    def take(self) -> tuple[Result, ...]:
        """Return the results since the last call."""
        return self._tracker.take()

    def wake(self) -> None:
        """Do nothing: no thread waits here."""

    def end(self) -> bool:
        """Clean up, only logging an exception; return True, since no thread can be left running."""
        trainable, self._trainable = self._trainable, None
        if trainable is not None:
            try:
                trainable.cleanup()
            except (Exception, SystemExit):
                log_cleanup_fault(self._parts.trial_id)
        return True

    def hand_over(self) -> Trainable | None:
        """Release the Trainable without cleanup and return it for the next trial; this run is over."""
        trainable, self._trainable = self._trainable, None
        return trainable

    def _standing(self) -> Trainable:
        if self._trainable is None:
            raise TrainableError(f"{self._parts.trial_id}: its Trainable has ended.")
        return self._trainable

    def _save_if_due(self, result: Result) -> None:
        must_be_durable = result.iteration == self._tracker.save_at
        if must_be_durable or (self._frequency and result.iteration % self._frequency == 0):
            self._save(result.iteration, result)
        if must_be_durable:
            self._parts.uploader.flush()

    def _save(self, iteration: int, result: Result | None) -> None:
        uploader = self._parts.uploader
        if uploader.newest_iteration == iteration or not self._parts.spec.can_checkpoint:
            return
        folder = self._parts.scratch.fresh()
        self._save_into(folder, iteration)
        uploader.submit(iteration, folder, result)

    def _save_into(self, folder: Path, iteration: int) -> None:
        with user_code():
            data = self._standing().save_checkpoint(folder)
            wrote = next(folder.iterdir(), None) is not None
            if isinstance(data, str | Path) and Path(data) == folder:  # as in Ray Tune
                data = None
            _check_saved(data, wrote)
            files = Checkpoint.from_dict(data).as_files() if data is not None else {}
        with local_disk(f"{self._parts.trial_id}: writing the checkpoint of iteration {iteration}"):
            for name, content in files.items():
                (folder / name).write_bytes(content)

    def _load(self, trainable: Trainable, ref: CheckpointRef) -> None:
        with self._parts.scratch.folder() as folder:
            self._parts.uploader.fetch(ref, folder)
            checkpoint = Checkpoint.from_directory(folder)
            with user_code():
                trainable.load_checkpoint(checkpoint.to_dict() if checkpoint.is_dict else folder)


def _check_saved(data: object, wrote: bool) -> None:
    if data is not None and not isinstance(data, dict):
        raise TrainableError(
            f"save_checkpoint(): got a {type(data).__name__}, expected None or the folder (files were "
            "written), or a dict."
        )
    if (data is not None) == wrote:
        did = "wrote files and returned a dict" if wrote else "wrote no file and returned nothing"
        raise TrainableError(f"save_checkpoint(): it {did}, expected either files or a dict.")
