"""A trial and what it has to show: values, never remote, never mutated.

Rules of this module:

- A `Trial` is replaced, not changed; only `tune_flows.core.state` replaces it.
- Its status is stored once, here; every other view (running, waiting, finished) is computed.
- A status changes through `moved`, along the table in `tune_flows.core.lifecycle`.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

__all__ = ["AUTOMATIC", "Action", "CheckpointRef", "Result", "Trial", "TrialStatus"]

AUTOMATIC = ("training_iteration", "time_total_s", "time_this_iter_s", "timestamp", "done")
"""What every result has a value for, beside its metrics."""


class TrialStatus(StrEnum):
    """Where a trial stands in its life."""

    PENDING = "PENDING"
    """Waits for a slot: new, to be retried, or left behind by a driver that died."""
    RUNNING = "RUNNING"
    """Holds a lease on a worker."""
    PAUSED = "PAUSED"
    """Gave its resources back on the scheduler's word; may go on from its checkpoint."""
    ERRORED = "ERRORED"
    """Failed more often than its budget allows. Final."""
    TERMINATED = "TERMINATED"
    """Completed or was stopped. Final."""

    @property
    def is_final(self) -> bool:
        """Whether no driver will run this trial any more."""
        return self in (TrialStatus.ERRORED, TrialStatus.TERMINATED)


class Action(StrEnum):
    """What a scheduler says about a trial."""

    CONTINUE = "CONTINUE"
    """Train on."""
    PAUSE = "PAUSE"
    """Save a checkpoint and give the resources back."""
    STOP = "STOP"
    """End the trial; it becomes TERMINATED."""
    YIELD = "YIELD"
    """PAUSE if another trial waits for the slot, else CONTINUE; the runner resolves it."""


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """Where a durable checkpoint lies and which iteration of the trial it stands for."""

    path: str
    """Folder relative to the experiment's URL, so that an experiment can be moved."""
    iteration: int
    """Training iterations the restoring trial has done when it starts from here."""
    manifest_sha256: str
    """Checksum (hex) of the manifest that lists the files with their checksums."""
    size_bytes: int
    """Total size of the files."""
    metrics: dict[str, float] = field(default_factory=dict[str, float], hash=False)
    """Finite values, at the iteration it was saved at, of the metrics that checkpoints are compared by."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one training iteration reported."""

    iteration: int
    """Training iterations done, from 1; also `training_iteration` for stop criteria and tables."""
    metrics: dict[str, Any]
    """Flat mapping from name (nested names joined by `/`) to a JSON value."""
    time_this_iter_s: float
    time_total_s: float
    """Seconds of training of this trial, over all of its attempts."""
    timestamp: float
    """Unix time in seconds at which the iteration ended."""
    done: bool = False
    """Whether the trial ended itself here: a stop criterion held or the trainable said `done`."""

    def value(self, name: str) -> Any:  # noqa: ANN401 - a metric is any JSON value
        """The metric called `name`, one of the automatic fields, or None when it is not there."""
        match name:
            case "training_iteration":
                return self.iteration
            case "time_total_s" | "time_this_iter_s" | "timestamp" | "done":
                return getattr(self, name)
            case _:
                return self.metrics.get(name)


@dataclass(frozen=True, slots=True)
class Trial:
    """Metadata of one training run."""

    trial_id: str
    config: dict[str, Any]
    status: TrialStatus = TrialStatus.PENDING
    iteration: int = 0
    """Training iterations journalled so far."""
    last_result: Result | None = None
    restored_at: int = 0
    """Iteration that the newest lease went on from, that of its checkpoint; 0: from scratch."""
    iterations_since_restore: int = 0
    """How many of `iteration` the worker had done that reported the last of them: starts again at 1 with each
    launch, and when the trial becomes a copy of another one. A crash changes it: nothing to decide by."""
    lease: int = 0
    """How often a worker was given to this trial; events of an older lease are void."""
    until: int | None = None
    """Iteration at which the worker next waits for a decision; None: it runs to its end."""
    pending: Action | None = None
    """STOP or PAUSE that was decided and that the executor has not carried out yet."""
    checkpoints: tuple[CheckpointRef, ...] = field(default=())
    """Durable checkpoints, oldest first; the last one is where a new attempt starts."""
    interim: CheckpointRef | None = None
    """Saved only because a session was stopped, newer than all of `checkpoints`; a new attempt starts there.
    It is dropped with the next regular one, counts nowhere, and no other trial goes on from it."""
    former: tuple[CheckpointRef, ...] = field(default=())
    """Those from before it became a copy of another trial, oldest first, where all checkpoints are kept."""
    unfetched: str | None = None
    """Path of the checkpoint that could not be fetched, the last time that happened."""
    failures: int = 0
    """Faults of the trainable."""
    infra_failures: int = 0
    """Faults of workers, nodes and storage."""
    restore_failures: int = 0
    """Checkpoints that could not be fetched."""
    error: str | None = None
    """Text of the newest fault, with its traceback."""
    reason: str | None = None
    """Why the trial ended, in a few words."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or was told to and holds no worker that could still do so."""
        told = self.pending is Action.STOP and self.status is not TrialStatus.RUNNING
        return self.status.is_final or told

    @property
    def checkpoint(self) -> CheckpointRef | None:
        """The newest durable checkpoint."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def start(self) -> CheckpointRef | None:
        """Where the next attempt starts; None: from scratch."""
        return self.interim or self.checkpoint

    @property
    def is_saved(self) -> bool:
        """Whether the newest checkpoint stands for the newest iteration."""
        return self.checkpoint is not None and self.checkpoint.iteration == self.iteration

    @property
    def faults(self) -> int:
        """Faults of any kind that count in a budget."""
        return self.failures + self.infra_failures + self.restore_failures

    @property
    def metrics(self) -> dict[str, Any]:
        """The newest metrics; empty before the first result."""
        return self.last_result.metrics if self.last_result else {}

    @property
    def kept(self) -> tuple[CheckpointRef, ...]:
        """Its regular checkpoints, those included that it does not go on from any more."""
        return (*self.former, *self.checkpoints)

    def as_copy(self, config: dict[str, Any], start: CheckpointRef | None, *, keep: bool) -> "Trial":
        """The trial as a copy of another one, which goes on from `start`; `keep`: what it saved stays."""
        former = {own.path: own for own in self.kept if start is None or own.path != start.path}
        return replace(
            self,
            config=config,
            checkpoints=() if start is None else (start,),
            interim=None,
            former=tuple(former.values()) if keep else (),
            restored_at=0 if start is None else start.iteration,
        )

    def without_interim(self, *, keep: bool) -> "Trial":
        """The trial without `interim`, which becomes a regular checkpoint if `keep`."""
        kept = (self.interim,) if keep and self.interim is not None else ()
        return replace(self, checkpoints=(*self.checkpoints, *kept), interim=None)

    def __str__(self) -> str:
        story = f"{self.trial_id} {self.status} at iteration {self.iteration}, lease {self.lease}"
        if self.pending:
            story += f", told to {self.pending}"
        return story + (f", {self.faults} failure(s)" if self.faults else "")
