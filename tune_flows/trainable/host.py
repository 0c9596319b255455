"""The inside of a worker: runs one trial after the other, one call of the executor at a time.

Rules of this module:

- One call at a time, but for `interrupt`, which may come from any thread. Nothing knows of Ray.
- A fault ends the trial here, but what came before it is handed over first: the next call raises it.
- After a fault, after COMPLETED and after `finish` the host is ready for the next `start`.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from tune_flows.core.errors import InfrastructureError, InvalidTransition, TuneError
from tune_flows.core.trial import CheckpointRef
from tune_flows.trainable.class_run import ClassRun
from tune_flows.trainable.function_run import FunctionRun
from tune_flows.trainable.ledger import Criteria, Ledger
from tune_flows.trainable.messages import Batch, Outcome, StartTrial, Stretch
from tune_flows.trainable.resolve import TrainableSpec
from tune_flows.trainable.run import Run, RunParts
from tune_flows.trainable.step_clock import StepClock
from tune_flows.trainable.transport import CheckpointTransport, Courier, Scratch

__all__ = ["Batch", "Outcome", "StartTrial", "Stretch", "TrialHost"]


class TrialHost:
    """Runs trials of one trainable.

    Args:
        trainable: What to run, its parameters bound.
        stop: When a trial ends itself.
        checkpoint_frequency: A class Trainable is saved after every so many iterations; 0: never.
        checkpoint_at_end: Whether a class Trainable that ended itself is saved once more.
        checkpoints: Where checkpoints go.
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
        self._experiment_name = experiment_name
        self._resources = dict(resources or {})
        self._scratch_base = scratch
        self._clock = clock or StepClock()
        self._join_timeout_s = join_timeout_s
        self._interrupted = Event()
        self._parts: RunParts | None = None
        self._run: Run | None = None
        self._fault: TuneError | None = None
        self._stuck = False

    @property
    def is_stuck(self) -> bool:
        """Whether a thread of user code did not end in time: the process must be ended, not reused."""
        return self._stuck

    def start(self, start: StartTrial) -> None:
        """Make the trial ready to train, restored from its checkpoint; a trial before it is ended first.

        Raises:
            TrainableError: The user's code raised.
            InfrastructureError: The checkpoint could not be restored, or this process is stuck.
        """
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
            ledger=Ledger(start, self._stop),
            courier=Courier(self._transport, start.trial_id, start.lease, start.checkpoint),
            scratch=scratch,
            clock=self._clock,
            resources=self._resources,
        )
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

    def advance(self, stretch: Stretch | None, *, batch_s: float = 1.0, max_results: int = 10_000) -> Batch:
        """Train until the decision point, the end, an interrupt, a full batch, or `batch_s` has passed.

        A class Trainable comes back between two steps, so with at least one more result unless all of them
        were known; a function comes back in time, maybe with none.

        Args:
            stretch: How far to train; None: as far as the call before said.
            batch_s: Seconds to gather results for; a step that takes as long is handed over at once.
            max_results: Results in one batch at most, 1 or more.

        Raises:
            TrainableError: The user's code raised. The trial has ended here.
            InfrastructureError: A checkpoint could not be stored or restored. The trial has ended here.
        """
        run, parts = self._present()
        ledger = parts.ledger
        try:
            if self._fault is not None:
                raise self._fault
            if stretch is not None:
                ledger.until, ledger.save_at = stretch.until, stretch.save_at
                if stretch.config is not None:
                    run.restart(copy.deepcopy(stretch.config), stretch.checkpoint)
            outcome = run.advance(self._interrupted, batch_s, max_results)
            if outcome is Outcome.COMPLETED and self._at_end and (saved := run.save()):
                ledger.checkpoints.append(saved)
        except TuneError as fault:
            results, checkpoints = run.take()
            if not results and not checkpoints:
                self._end()
                raise
            self._fault = fault
            return Batch(results, checkpoints, Outcome.RUNNING)
        if outcome is Outcome.INTERRUPTED:
            self._interrupted.clear()
        results, checkpoints = run.take()
        if outcome is not Outcome.COMPLETED:
            return Batch(results, checkpoints, outcome)
        reason = ledger.ended or ""
        self._end()
        return Batch(results, checkpoints, outcome, reason, self._stuck)

    def save(self) -> CheckpointRef | None:
        """A checkpoint of this moment, between two steps.

        Returns:
            The new checkpoint; None when there is nothing to save: the newest one is of this iteration, the
            trainable saves none, or it is a function, whose reported checkpoints were handed over already.

        Raises:
            TrainableError: The user's code raised.
            InfrastructureError: The storage failed.
        """
        return self._present()[0].save()

    def finish(self, *, save: bool) -> CheckpointRef | None:
        """End the trial in order, after a batch that did not end it; a trial that has ended stays as it is.

        A function that still trains (the last batch was RUNNING) loses what it has not handed over.

        Args:
            save: Whether to save first.

        Returns:
            As `save`. Ask `is_stuck` afterwards.

        Raises:
            TrainableError: The user's code raised while saving. The trial has ended all the same.
            InfrastructureError: The storage failed. The trial has ended all the same.
        """
        if self._run is None:
            return None
        try:
            return self._run.save() if save and self._fault is None else None
        finally:
            self._end()

    def interrupt(self) -> None:
        """Make `advance` come back after the step that is under way; from any thread, at any time.

        It is for the present trial: `start` forgets it.
        """
        self._interrupted.set()
        run = self._run
        if run is not None:
            run.wake()

    def close(self) -> None:
        """End whatever runs and remove the local files."""
        self._end()

    def _present(self) -> tuple[Run, RunParts]:
        if self._run is None or self._parts is None:
            raise InvalidTransition("TrialHost: no trial is here: it has ended, or start() was not called.")
        return self._run, self._parts

    def _end(self) -> None:
        run, self._run = self._run, None
        if run is not None and not run.end():
            self._stuck = True
        if self._parts is not None and not self._stuck:
            self._parts.scratch.clear()
        self._parts = None
