"""The inside of a worker: runs one trial after the other, one call of the executor at a time.

Rules of this module:

- One call at a time, but for `interrupt`, which may come from any thread. Nothing knows of Ray.
- A fault ends the trial here, but what came before it is handed over first: the next call raises it.
- An upload may travel on while a trial trains, waits or is interrupted. It has arrived before the trial goes
  on as another one, ends or faults, so what is known of the trial then is all there is.
- After a fault, after COMPLETED and after `finish` the host is ready for the next `start`.
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
        trainable: What to run, its parameters bound.
        stop: When a trial ends itself.
        checkpoint_frequency: A class Trainable is saved after every so many iterations; 0: never.
        checkpoint_at_end: Whether a class Trainable that ended itself is saved once more.
        checkpoints: Where checkpoints go.
        checkpoint_metrics: Names of the values that are noted with each checkpoint.
        upload_beside: Whether checkpoints are uploaded while training goes on.
        experiment_name: For `get_context`.
        resources: What each trial is granted, for `get_context`.
        scratch: Folder for local files; None: the system's folder for temporary files.
        clock: How long iterations take; wall time by default.
        join_timeout_s: How long a function may take to end once it was told to.
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
        """Seconds since the user's code last showed a sign of life in the call under way; from any thread.

        A step, a save or a start that begins or ends is one. Time spent on the storage does not count.
        """
        uploader = self._uploader
        return 0.0 if uploader is not None and uploader.is_awaited else self._clock.idle_s

    def start(self, start: StartTrial) -> None:
        """Make the trial ready to train, restored from its checkpoint; a trial before it is ended first.

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

        A class Trainable comes back between two steps, so with at least one more result unless all of them
        were known; a function comes back in time, maybe with none.

        Args:
            request: How far to train; None: as far as the call before said.
            batch_s: Seconds to gather results for; a step that takes as long is handed over at once.
            max_results: Results in one batch at most, 1 or more.

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
        """Save a checkpoint of this moment, between two steps, unless there is nothing to save.

        There is not when the newest one is of this iteration, when the trainable saves none, and for a
        function: what that has reported is on its way.

        Returns:
            All durable checkpoints that were not handed over yet, the new one last.

        Raises:
            TrainableError: The user's code raised. What had arrived before is handed over first, then the
                next call raises it.
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
        """Save a checkpoint of this moment for the next session, as `save` does.

        Returns:
            The durable checkpoints that were not handed over yet, and the one that was saved only now, for
            this; None: there was no need or no way to save one.

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
        """End the trial in order, after a batch that did not end it; a trial that has ended stays as it is.

        A function that still trains (the last batch was RUNNING) loses what it has not handed over.

        Args:
            save: Whether to save first.

        Returns:
            As `save`. Ask `is_stuck` afterwards.

        Raises:
            TrainableError: The user's code raised, while saving or before, and no call has told it yet. The
                trial has ended all the same.
            InfrastructureError: The storage failed. The trial has ended all the same.
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
        """Make `advance` come back after the step that is under way; from any thread, at any time.

        It is for the present trial: `start` forgets it.
        """
        self._interrupted.set()
        run = self._run
        if run is not None:
            run.wake()

    def close(self) -> None:
        """End whatever runs and remove the local files; an upload that takes long is given up."""
        self._end(upload_timeout_s=self._join_timeout_s)

    def _present(self) -> tuple[Run, RunParts]:
        if self._run is None or self._parts is None:
            raise InvalidTransition("TrialHost: no trial is here: it has ended, or start() was not called.")
        return self._run, self._parts

    def _arrived(self, parts: RunParts) -> tuple[CheckpointRef, ...]:
        """Checkpoints that may be handed over with the results taken so far; they must be taken first."""
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
