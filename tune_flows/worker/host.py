"""Runs trials inside a worker, one after another, as the executor calls it.

Rules of this module:

- One call at a time, except `interrupt`, which any thread may call. Nothing here depends on Ray.
- An error ends the trial here, but earlier results and checkpoints come first: the next call raises it.
- An upload may continue while a trial trains, waits or is interrupted. It is complete before the trial
  restarts with another configuration, ends or fails, so that no checkpoint can appear afterwards.
- After an error, after COMPLETED and after `finish` the host is ready for the next `start`.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

from tune_flows.core.errors import InfrastructureError, InvalidTransition, TuneError
from tune_flows.core.trial import CheckpointRef
from tune_flows.trainable.resolve import TrainableSpec
from tune_flows.worker.checkpoint_backend import CheckpointTransport, Scratch
from tune_flows.worker.checkpoint_uploader import CheckpointUploader
from tune_flows.worker.class_run import ClassRun
from tune_flows.worker.function_run import FunctionRun
from tune_flows.worker.messages import AdvanceRequest, Batch, Outcome, StartTrial
from tune_flows.worker.progress_tracker import Criteria, ProgressTracker
from tune_flows.worker.run import Run, RunParts
from tune_flows.worker.step_clock import StepClock

__all__ = ["AdvanceRequest", "Batch", "Outcome", "StartTrial", "TrialHost"]


class TrialHost:
    """Runs trials of one trainable.

    Args:
        trainable: The trainable to run, with its parameters bound.
        stop: Criteria that end a trial.
        checkpoint_frequency: Iterations between two checkpoints of a class Trainable; 0: never save.
        checkpoint_at_end: Whether a class Trainable is saved once more when its trial completes.
        checkpoints: Stores the checkpoints.
        checkpoint_metrics: Names of the metrics that are recorded with each checkpoint.
        upload_beside: Whether checkpoints are uploaded while training continues.
        experiment_name: The experiment's name, for `get_context`.
        resources: The resources of each trial, for `get_context`.
        scratch: Folder for local files; None: the system's folder for temporary files.
        clock: Measures the time of iterations; wall time by default.
        join_timeout_s: Seconds that a function may take to end after it was asked to.
    """

    def __init__(
        self,
        trainable: TrainableSpec,
        *,
        stop: Criteria,
        checkpoints: CheckpointTransport,
        checkpoint_frequency: int = 0,
        checkpoint_at_end: bool = False,
        checkpoint_metrics: Sequence[str] = (),
        upload_beside: bool = False,
        experiment_name: str = "",
        resources: Mapping[str, float] | None = None,
        scratch: Path | None = None,
        clock: StepClock | None = None,
        join_timeout_s: float = 10.0,
    ) -> None:
        self._spec = trainable
        self._stop = stop
        self._transport = checkpoints
        self._frequency = checkpoint_frequency
        self._at_end = checkpoint_at_end
        self._checkpoint_metrics = tuple(checkpoint_metrics)
        self._upload_beside = upload_beside
        self._experiment_name = experiment_name
        self._resources = dict(resources or {})
        self._scratch_base = scratch
        self._clock = clock or StepClock()
        self._join_timeout_s = join_timeout_s
        self._interrupted = Event()
        self._parts: RunParts | None = None
        self._run: Run | None = None
        self._fault: TuneError | None = None
        self._uploader: CheckpointUploader | None = None
        self._stuck = False

    @property
    def is_stuck(self) -> bool:
        """Whether a thread of user code did not end in time: the process must be ended, not reused."""
        return self._stuck

    @property
    def idle_s(self) -> float:
        """Seconds since the last heartbeat in the current call; may be read from any thread.

        The begin or end of a step, a save or a start is a heartbeat. Waiting for the storage counts as 0.
        """
        uploader = self._uploader
        return 0.0 if uploader is not None and uploader.is_awaited else self._clock.idle_s

    def start(self, start: StartTrial) -> None:
        """Prepare the trial for training, restored from its checkpoint; end the previous trial first.

        Raises:
            TrainableError: The user's code raised.
            InfrastructureError: The checkpoint could not be restored, or this process is stuck.
        """
        self._clock.heartbeat()
        kept = self._run.hand_over() if start.keep_from and isinstance(self._run, ClassRun) else None
        self._end()
        if self._stuck:
            raise InfrastructureError(
                f"{start.trial_id}: got a process in which a function of an earlier trial still runs, "
                "expected a free one; end this process."
            )
        self._interrupted.clear()
        self._fault = None
        scratch = Scratch(self._scratch_base, start.trial_id)
        self._parts = parts = RunParts(
            spec=self._spec,
            trial_id=start.trial_id,
            experiment_name=self._experiment_name,
            tracker=ProgressTracker(start, self._stop),
            uploader=CheckpointUploader(
                self._transport,
                start.trial_id,
                start.lease,
                metrics=self._checkpoint_metrics,
                beside=self._upload_beside,
                clock=self._clock,
            ),
            scratch=scratch,
            clock=self._clock,
            resources=self._resources,
        )
        self._uploader = parts.uploader
        config = copy.deepcopy(start.config)
        try:
            if self._spec.is_class:
                self._run = ClassRun(
                    parts, config, start.checkpoint, checkpoint_frequency=self._frequency, kept=kept
                )
            else:
                self._run = FunctionRun(parts, config, start.checkpoint, join_timeout_s=self._join_timeout_s)
        except BaseException:
            scratch.clear()
            raise

    def advance(
        self, request: AdvanceRequest | None, *, batch_s: float = 1.0, max_results: int = 10_000
    ) -> Batch:
        """Train until the decision point, the end, an interrupt, a full batch, or `batch_s` has passed.

        With a class Trainable the call returns between two steps, so with at least one new result unless all
        steps repeated journalled iterations; with a function it returns on time, possibly without results.

        Args:
            request: How far to train; None: as in the previous call.
            batch_s: Seconds to collect results; the result of a step that takes as long is returned at once.
            max_results: Maximum number of results in a batch, at least 1.

        Raises:
            TrainableError: The user's code raised. The trial has ended here.
            InfrastructureError: A checkpoint could not be stored or restored. The trial has ended here.
        """
        run, parts = self._present()
        tracker = parts.tracker
        try:
            if self._fault is not None:
                raise self._fault
            if request is not None:
                self._clock.heartbeat()
                tracker.until, tracker.save_at = request.until, request.save_at
                if request.config is not None:
                    parts.uploader.flush()
                    run.restart(copy.deepcopy(request.config), request.checkpoint)
            outcome = run.advance(self._interrupted, batch_s, max_results)
            parts.uploader.check()
            if outcome is Outcome.COMPLETED:
                if self._at_end:
                    run.save()
                parts.uploader.flush()
        except TuneError as fault:
            parts.uploader.wait()
            results, checkpoints = run.take(), self._arrived(parts)
            if not results and not checkpoints:
                self._end()
                raise
            self._fault = fault
            return Batch(results, checkpoints, Outcome.RUNNING)
        if outcome is Outcome.INTERRUPTED:
            self._interrupted.clear()
        results, checkpoints = run.take(), self._arrived(parts)
        if outcome is not Outcome.COMPLETED:
            return Batch(results, checkpoints, outcome, idle_s=self.idle_s)
        reason = tracker.ended or ""
        self._end()
        return Batch(results, checkpoints, outcome, reason, self._stuck)

    def save(self) -> tuple[CheckpointRef, ...]:
        """Save a checkpoint of the current iteration, between two steps, unless there is nothing to save.

        There is nothing to save if this iteration has a checkpoint, if the trainable saves none, and for a
        function, whose reported checkpoints are already being uploaded.

        Returns:
            All durable checkpoints that were not returned before, the new one last.

        Raises:
            TrainableError: The user's code raised. If there are checkpoints to return, they are returned
                and the next call raises the error.
            InfrastructureError: The storage failed.
        """
        run, parts = self._present()
        self._clock.heartbeat()
        try:
            run.save()
            parts.uploader.flush()
        except TuneError as fault:
            parts.uploader.wait()
            arrived = self._arrived(parts)
            if not arrived:
                raise
            self._fault = fault
            return arrived
        return self._arrived(parts)

    def suspend(self) -> tuple[tuple[CheckpointRef, ...], CheckpointRef | None]:
        """Save a checkpoint of the current iteration for the next session, as `save` does.

        Returns:
            The durable checkpoints that were not returned before, and the one that this call saved; None if
            there was no need or no way to save one.

        Raises:
            TrainableError, InfrastructureError: As `save`.
        """
        _, parts = self._present()
        newest = parts.uploader.newest_iteration
        saved = self.save()
        if self._fault is not None or parts.uploader.newest_iteration == newest:
            return saved, None
        return saved[:-1], saved[-1]

    def finish(self, *, save: bool) -> tuple[CheckpointRef, ...]:
        """End the trial cleanly, after a batch that did not end it; do nothing if it has ended already.

        If a function is still training (the last batch was RUNNING), results not yet handed over are lost.

        Args:
            save: Whether to save a checkpoint first.

        Returns:
            As `save`. Check `is_stuck` afterwards.

        Raises:
            TrainableError: The user's code raised, while saving or before, and no call has raised it yet.
                The trial has ended nevertheless.
            InfrastructureError: The storage failed. The trial has ended nevertheless.
        """
        if self._run is None:
            return ()
        self._clock.heartbeat()
        run, parts = self._present()
        try:
            if self._fault is not None:
                raise self._fault
            if save:
                run.save()
        finally:
            self._end()
        parts.uploader.check()
        return self._arrived(parts)

    def interrupt(self) -> None:
        """Make `advance` return after the current step; may be called from any thread at any time.

        Applies to the current trial only: `start` clears it.
        """
        self._interrupted.set()
        run = self._run
        if run is not None:
            run.wake()

    def close(self) -> None:
        """End the current trial and remove the local files; abandon an upload that takes too long."""
        self._end(upload_timeout_s=self._join_timeout_s)

    def _present(self) -> tuple[Run, RunParts]:
        if self._run is None or self._parts is None:
            raise InvalidTransition("TrialHost: no trial is here: it has ended, or start() was not called.")
        return self._run, self._parts

    def _arrived(self, parts: RunParts) -> tuple[CheckpointRef, ...]:
        """Return the checkpoints that belong to the results taken so far; take the results first."""
        return parts.uploader.take(parts.tracker.handed_over)

    def _end(self, upload_timeout_s: float | None = None) -> None:
        run, self._run = self._run, None
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.uploader.close()
        if run is not None and not run.end():
            self._stuck = True
        if parts is not None:
            parts.uploader.wait(upload_timeout_s)
            if not self._stuck:
                parts.scratch.clear()
