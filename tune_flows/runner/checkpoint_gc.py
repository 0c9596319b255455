"""Removal of checkpoints: each drop by a trial is recorded; a checkpoint that no trial holds is deleted.

Rules of this module:

- A checkpoint that was copied may be held by several trials; it is deleted when the last of them drops it.
- A trial's only checkpoint is kept even if it cannot be fetched: whether to start from scratch is not
  decided here.
"""

from collections.abc import Iterable

from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.decisions import CheckpointDropped
from tune_flows.core.keeping import surplus_checkpoints
from tune_flows.core.trial import CheckpointRef, Trial
from tune_flows.runner.step_builder import StepBuilder

__all__ = ["CheckpointGC"]


class CheckpointGC:
    """Drops and deletes checkpoints.

    Args:
        builder: Collects the records and commands of the current loop iteration.
    """

    def __init__(self, builder: StepBuilder) -> None:
        self._builder = builder

    def drop_surplus(self, trial_id: str) -> None:
        """Drop the trial's checkpoints that the rules do not keep."""
        state = self._builder.state
        for surplus in surplus_checkpoints(state.trials[trial_id].checkpoints, state.rules):
            self._drop(trial_id, surplus)
            self.delete_unneeded((surplus,))

    def give_up_start(self, trial: Trial) -> None:
        """Drop a start checkpoint that could not be fetched, so that the retry starts from the one before.

        Only on the second failure; the first may be transient.

        Args:
            trial: As it was before the failure.
        """
        start = trial.start
        is_only = trial.interim is None and len(trial.checkpoints) == 1
        if start is None or is_only or trial.unfetched != start.path:
            return
        self._drop(trial.trial_id, start)
        if trial.interim is None:  # an interim one is deleted by TrialRunner
            self.delete_unneeded((start,))

    def delete_unneeded(self, checkpoints: Iterable[CheckpointRef]) -> None:
        """Delete those of the checkpoints that no trial holds any more."""
        state = self._builder.state
        for checkpoint in checkpoints:
            trials = state.trials.values() if checkpoint.path in state.copied else ()
            if not any(kept.path == checkpoint.path for trial in trials for kept in trial.kept):
                self._builder.emit(DeleteCheckpoint(checkpoint))

    def _drop(self, trial_id: str, checkpoint: CheckpointRef) -> None:
        proposed = CheckpointDropped(trial_id, checkpoint.path)
        self._builder.decide(proposed, CheckpointDropped, trial_id=trial_id, path=checkpoint.path)
