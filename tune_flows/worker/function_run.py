"""Runs one trial of a training function on a separate thread.

Rules of this module:

- The thread counts and evaluates each report itself, so a trial ends exactly at the step that meets a
  criterion. It waits in `report` only at a halt: the decision point, the end, an interrupt, a full batch.
- The host sleeps until there is a halt, a slow step or the end of its batch time: no handshake per report.
- `_condition` guards the tracker and all flags except the host's interrupt, after which `wake` is called.
"""

import contextvars
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tune_flows.core.errors import InfrastructureError, TrainableError, TuneError
from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.trainable.checkpoint import Checkpoint
from tune_flows.trainable.session import TrialContext, TrialInterrupted, enter
from tune_flows.worker.checkpoint_backend import local_disk
from tune_flows.worker.messages import Outcome
from tune_flows.worker.metrics import flattened
from tune_flows.worker.run import RunParts
from tune_flows.worker.staging import copy_folder
from tune_flows.worker.user_code import end_if_forked, log_cleanup_fault, trainable_error

__all__ = ["FunctionRun"]


class FunctionRun:
    """Runs a training function and is the `Session` that its calls reach.

    Args:
        parts: The objects that the host gives to every run.
        config: The trial's configuration; not copied.
        checkpoint: Checkpoint to start from; None: start from scratch.
        join_timeout_s: Seconds that the function may take to end after it was asked to.
    """

    def __init__(
        self,
        parts: RunParts,
        config: dict[str, Any],
        checkpoint: CheckpointRef | None,
        *,
        join_timeout_s: float,
    ) -> None:
        self._parts = parts
        self._tracker = parts.tracker
        self._join_timeout_s = join_timeout_s
        self._pid = os.getpid()
        self._condition = threading.Condition()
        self._interrupted = threading.Event()
        self._max_results = 1
        self._slow_s = 0.0
        self._thread: threading.Thread | None = None
        self.restart(config, checkpoint)

    # -- the host's side ---------------------------------------------------------------------

    def restart(self, config: dict[str, Any], checkpoint: CheckpointRef | None) -> None:
        """End the function; the next `advance` starts it with `config` from `checkpoint`."""
        if not self.end():
            raise InfrastructureError(
                f"{self._parts.trial_id}: its function did not end within {self._join_timeout_s:g} s after "
                "it was told to; this process cannot be used any more."
            )
        self._thread = None
        self._config = config
        self._restored: Checkpoint | None = None
        self._ending = self._over = self._blocked = False
        self._error: TuneError | None = None
        if checkpoint is not None:
            folder = self._parts.scratch.fresh()
            self._parts.uploader.fetch(checkpoint, folder)
            self._restored = Checkpoint.from_directory(folder)

    def advance(self, interrupted: threading.Event, batch_s: float, max_results: int) -> Outcome:
        """Let the function run until there is an outcome to return."""
        with self._condition:
            self._interrupted, self._max_results, self._slow_s = interrupted, max_results, batch_s
            if self._thread is None and not self._tracker.due and not interrupted.is_set():
                self._begin()
            self._condition.notify_all()
            if self._thread is not None:
                self._condition.wait_for(self._wants_host, None if batch_s == float("inf") else batch_s)
            return self._outcome()

    def take(self) -> tuple[Result, ...]:
        """Return the results since the last call."""
        with self._condition:
            return self._tracker.take()

    def save(self) -> None:
        """Do nothing: only the function makes checkpoints, and those it has reported are sent already."""

    def wake(self) -> None:
        """Make the host and the function check for an interrupt that was set."""
        with self._condition:
            self._condition.notify_all()

    def end(self) -> bool:
        """Raise `TrialInterrupted` in the function, wait for its end and return whether it has ended."""
        thread = self._thread
        if thread is None:
            return True
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        thread.join(self._join_timeout_s)
        return not thread.is_alive()

    def _begin(self) -> None:
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._main,), name=f"tune-{self._parts.trial_id}", daemon=True
        )
        self._thread.start()

    def _outcome(self) -> Outcome:
        if self._error is not None:
            raise self._error
        if self._tracker.ended is not None:
            return Outcome.COMPLETED
        if self._tracker.due:
            return Outcome.WAITS
        # INTERRUPTED only while the function waits between two steps; until then the host calls again.
        still = self._thread is None or self._blocked
        return Outcome.INTERRUPTED if still and self._interrupted.is_set() else Outcome.RUNNING

    def _wants_host(self) -> bool:
        if self._over or (self._blocked and self._halted()):
            return True
        results = self._tracker.results
        return bool(results) and results[-1].time_this_iter_s >= self._slow_s

    def _halted(self) -> bool:
        tracker = self._tracker
        return (
            tracker.ended is not None
            or tracker.due
            or self._interrupted.is_set()
            or len(tracker.results) >= self._max_results
        )

    # -- the function's side -----------------------------------------------------------------

    def report(self, metrics: Mapping[str, Any], checkpoint: Checkpoint | None) -> None:
        """Count a finished training iteration and hand over its result; wait while there is a halt."""
        self._check_going()
        seconds, timestamp = self._parts.clock.lap(self._config, self._tracker.iteration + 1)
        flat, done = flattened(metrics)
        result, ends = self._tracker.evaluate(flat, seconds, timestamp, reason="done" if done else None)
        if checkpoint is not None:
            self._send(checkpoint, result)
        if result.iteration == self._tracker.save_at:
            with self._ended_by_storage():
                self._parts.uploader.flush()
        with self._condition:
            self._check_going()
            self._tracker.add(result, ends)
            self._wait_while_halted()
        self._parts.clock.start()

    def restored(self) -> Checkpoint | None:
        """Return the checkpoint to start from; None: start from scratch."""
        return self._restored

    def context(self) -> TrialContext:
        """Return the trial's current context."""
        parts = self._parts
        with self._ended_by_storage():
            trial_dir = parts.scratch.trial_dir
        return TrialContext(
            trial_id=parts.trial_id,
            trial_dir=trial_dir,
            experiment_name=parts.experiment_name,
            resources=dict(parts.resources),
            config=self._config,
            iteration=self._tracker.iteration,
        )

    def _wait_while_halted(self) -> None:
        if self._wants_host():  # a slow step: hand over its result at once
            self._condition.notify_all()
        while self._halted() and not self._ending:
            self._blocked = True
            self._condition.notify_all()
            self._condition.wait()
        self._blocked = False
        self._check_going()

    def _check_going(self) -> None:
        if os.getpid() != self._pid:
            raise TrainableError("report(): called in a forked process, expected in the one of the trial.")
        with self._ended_by_storage():
            self._parts.uploader.check()
        if self._ending or self._error is not None:
            raise TrialInterrupted(f"{self._parts.trial_id} ends here")

    def _send(self, checkpoint: Checkpoint, result: Result) -> None:
        if not isinstance(checkpoint, Checkpoint):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TrainableError(
                f"report(checkpoint=...): got a {type(checkpoint).__name__}, expected a Checkpoint."
            )
        with self._ended_by_storage():
            folder = self._parts.scratch.fresh()
            self._stage(checkpoint, result.iteration, folder)
            self._parts.uploader.submit(result.iteration, folder, result)

    def _stage(self, checkpoint: Checkpoint, iteration: int, folder: Path) -> None:
        files, source, trial_id = checkpoint.as_files(), checkpoint.path, self._parts.trial_id
        with local_disk(f"{trial_id}: writing the checkpoint of iteration {iteration}"):
            for name, content in files.items():
                (folder / name).write_bytes(content)
        if source is not None:
            with local_disk(f"{trial_id}: copying the reported checkpoint {source}"):
                copy_folder(source, folder)

    @contextmanager
    def _ended_by_storage(self) -> Generator[None, None, None]:
        """Record a `TuneError` of the block and raise `TrialInterrupted`: the function is not at fault."""
        try:
            yield
        except TuneError as error:
            if self._error is None:
                self._error = error
            raise TrialInterrupted(f"{self._parts.trial_id}: {error}") from error

    def _main(self) -> None:
        reason: str | None = None
        try:
            enter(self)
            self._parts.clock.start()
            self._finish(self._parts.spec.call(self._config))
            reason = "returned"
        except TrialInterrupted:
            reason = "returned"  # used only if the trial was not interrupted
        except BaseException as error:  # nothing may escape the thread: SystemExit is a user error too
            self._fail(error)
        finally:
            end_if_forked(self._pid)
            with self._condition:
                self._over = True
                self._blocked = False
                if self._tracker.ended is None and not self._ending and self._error is None:
                    self._tracker.ended = reason
                self._condition.notify_all()

    def _finish(self, value: Any) -> None:  # noqa: ANN401 - what the user's function returns
        """Report the metrics that a generator yields, or record a returned dict as the last result."""
        if isinstance(value, Generator):
            try:
                for metrics in value:  # pyright: ignore[reportUnknownVariableType]
                    self.report(metrics, None)  # pyright: ignore[reportUnknownArgumentType]
            finally:
                value.close()
        elif value is not None:
            self._check_going()
            seconds, timestamp = self._parts.clock.lap(self._config, self._tracker.iteration + 1)
            flat, _ = flattened(value)
            result, ends = self._tracker.evaluate(flat, seconds, timestamp, reason="returned")
            with self._condition:
                self._tracker.add(result, ends)

    def _fail(self, error: BaseException) -> None:
        if self._ending or self._error is not None:
            log_cleanup_fault(self._parts.trial_id)
        else:
            self._error = trainable_error(error)
            self._error.__cause__ = error
