"""Trials, their results and checkpoints: local, immutable values.

Rules of this module:

- A `Trial` is replaced, not mutated; only `tune_flows.core.state` replaces it.
- Its status is stored only here; every other view (running, waiting, finished) is computed from it.
- A status changes only through `transition`, as the table in `tune_flows.core.lifecycle` allows.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

__all__ = ["AUTOMATIC", "Action", "CheckpointRef", "Result", "Trial", "TrialStatus"]

AUTOMATIC = ("training_iteration", "time_total_s", "time_this_iter_s", "timestamp", "done")
"""Names of the fields that every result has in addition to its metrics."""


class TrialStatus(StrEnum):
    """Status of a trial."""

    PENDING = "PENDING"
    """Waits for a slot: is new, will be retried, or was running when its driver died."""
    RUNNING = "RUNNING"
    """Holds a lease on a worker."""
    PAUSED = "PAUSED"
    """Released its resources, by the scheduler or a stopped session; can resume from its checkpoint."""
    ERRORED = "ERRORED"
    """Failed more often than its budget allows. Final."""
    TERMINATED = "TERMINATED"
    """Completed or was stopped. Final."""

    @property
    def is_final(self) -> bool:
        """Whether a trial with this status will never run again, unless the user reopens it."""
        return self in (TrialStatus.ERRORED, TrialStatus.TERMINATED)


class Action(StrEnum):
    """Action that a scheduler decides for a trial."""

    CONTINUE = "CONTINUE"
    """Continue training."""
    PAUSE = "PAUSE"
    """Save a checkpoint and release the resources."""
    STOP = "STOP"
    """End the trial; it becomes TERMINATED."""
    YIELD = "YIELD"
    """PAUSE if another trial waits for the slot, else CONTINUE; the runner decides which."""


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """Reference to a durable checkpoint: its location and its training iteration."""

    path: str
    """Folder relative to the experiment's URL, so that an experiment can be moved."""
    iteration: int
    """Number of training iterations that a trial has done when it is restored from here."""
    manifest_sha256: str
    """Checksum (hex) of the manifest that lists the files with their checksums."""
    size_bytes: int
    """Total size of the files."""
    metrics: dict[str, float] = field(default_factory=dict[str, float], hash=False)
    """Finite values of the metrics that checkpoints are ranked by, at the iteration of saving."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one training iteration."""

    iteration: int
    """Number of the training iteration, from 1; called `training_iteration` in stop criteria and tables."""
    metrics: dict[str, Any]
    """Flat mapping from name (nested names joined by `/`) to a JSON value."""
    time_this_iter_s: float
    time_total_s: float
    """Seconds of training of this trial over all its attempts."""
    timestamp: float
    """Unix time in seconds at which the iteration ended."""
    done: bool = False
    """Whether the trial ended itself here: a stop criterion was met or the trainable reported `done`."""

    def value(self, name: str) -> Any:  # noqa: ANN401 - a metric is any JSON value
        """Return the metric or automatic field called `name`, or None if there is none."""
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
    """Number of training iterations journalled so far."""
    last_result: Result | None = None
    restored_at: int = 0
    """Iteration of the checkpoint from which the newest lease started; 0: from scratch."""
    iterations_since_restore: int = 0
    """Iterations since the latest restore, as of the last result: restarts at 1 with each launch and when the
    trial becomes a copy of another one. A crash changes it, so decisions must not depend on it."""
    lease: int = 0
    """Number of the newest lease on a worker, counted from 1; events of an older lease are ignored."""
    until: int | None = None
    """Iteration at which the worker next waits for a decision; None: it trains to the end."""
    pending: Action | None = None
    """STOP or PAUSE that was decided but not yet carried out by the executor."""
    checkpoints: tuple[CheckpointRef, ...] = field(default=())
    """Durable checkpoints, oldest first; a new attempt starts from the last one."""
    interim: CheckpointRef | None = None
    """Checkpoint saved only because a session was stopped, newer than `checkpoints`; the next attempt starts
    from it. Dropped with the next regular one; not counted in any limit, not copied to other trials."""
    former: tuple[CheckpointRef, ...] = field(default=())
    """Checkpoints from before the trial became a copy of another, oldest first; empty unless all are kept."""
    unfetched: str | None = None
    """Path of the last checkpoint that could not be fetched."""
    failures: int = 0
    """Number of faults of the trainable."""
    infra_failures: int = 0
    """Number of faults of workers, nodes and storage."""
    restore_failures: int = 0
    """Number of times that a checkpoint could not be fetched."""
    error: str | None = None
    """Text of the newest fault, with its traceback."""
    reason: str | None = None
    """Why the trial ended, in a few words."""

    @property
    def is_over(self) -> bool:
        """Whether the trial has ended, or has a pending STOP and no worker to carry it out."""
        told = self.pending is Action.STOP and self.status is not TrialStatus.RUNNING
        return self.status.is_final or told

    @property
    def checkpoint(self) -> CheckpointRef | None:
        """The newest durable checkpoint."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def start(self) -> CheckpointRef | None:
        """The checkpoint from which the next attempt starts; None: from scratch."""
        return self.interim or self.checkpoint

    @property
    def is_saved(self) -> bool:
        """Whether the newest checkpoint is from the newest iteration."""
        return self.checkpoint is not None and self.checkpoint.iteration == self.iteration

    @property
    def faults(self) -> int:
        """Number of faults of all kinds that count in a failure budget."""
        return self.failures + self.infra_failures + self.restore_failures

    @property
    def metrics(self) -> dict[str, Any]:
        """The newest metrics; empty before the first result."""
        return self.last_result.metrics if self.last_result else {}

    @property
    def kept(self) -> tuple[CheckpointRef, ...]:
        """All regular checkpoints of the trial, including those from before it became a copy."""
        return (*self.former, *self.checkpoints)

    def as_copy(self, config: dict[str, Any], start: CheckpointRef | None, *, keep: bool) -> "Trial":
        """Return the trial as a copy of another from `start`; `keep`: keep its checkpoints in `former`."""
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
        """Return the trial without `interim`; with `keep`, it becomes a regular checkpoint."""
        kept = (self.interim,) if keep and self.interim is not None else ()
        return replace(self, checkpoints=(*self.checkpoints, *kept), interim=None)

    def __str__(self) -> str:
        story = f"{self.trial_id} {self.status} at iteration {self.iteration}, lease {self.lease}"
        if self.pending:
            story += f", told to {self.pending}"
        return story + (f", {self.faults} failure(s)" if self.faults else "")
