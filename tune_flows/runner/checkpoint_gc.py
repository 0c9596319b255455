"""Checkpoints that nobody needs: recorded where a trial gives one up, deleted where no trial has it any more.

Rules of this module:

- A checkpoint that was copied may be held by several trials; it is deleted when the last of them lets go.
- The last checkpoint of a trial is never given up for one that cannot be fetched: whether to start from
  scratch is not decided here.
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
        turn: The loop iteration that the commands belong to.
    """

    def __init__(self, builder: StepBuilder) -> None:
        self._builder = builder

    def drop_surplus(self, trial_id: str) -> None:
        """Drop those that the rules do not keep."""
        state = self._builder.state
        for surplus in surplus_checkpoints(state.trials[trial_id].checkpoints, state.rules):
            self._drop(trial_id, surplus)
            self.delete_unneeded((surplus,))

    def give_up_start(self, trial: Trial) -> None:
        """The checkpoint that the trial was to go on from could not be fetched: next time, the one before it.

        Not at once, as it may be the storage's mood.

        Args:
            trial: As it was before that.
        """
        start = trial.start
        is_only = trial.interim is None and len(trial.checkpoints) == 1
        if start is None or is_only or trial.unfetched != start.path:
            return
        self._drop(trial.trial_id, start)
        if trial.interim is None:  # else whoever looks after interim ones deletes it
            self.delete_unneeded((start,))

    def delete_unneeded(self, checkpoints: Iterable[CheckpointRef]) -> None:
        """Delete those that no trial holds any more."""
        state = self._builder.state
        for checkpoint in checkpoints:
            trials = state.trials.values() if checkpoint.path in state.copied else ()
            if not any(kept.path == checkpoint.path for trial in trials for kept in trial.kept):
                self._builder.emit(DeleteCheckpoint(checkpoint))

    def _drop(self, trial_id: str, checkpoint: CheckpointRef) -> None:
        proposed = CheckpointDropped(trial_id, checkpoint.path)
        self._builder.decide(proposed, CheckpointDropped, trial_id=trial_id, path=checkpoint.path)
