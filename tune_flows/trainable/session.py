"""The function API: the functions that a training function calls while it runs.

Each trial's function runs on a separate thread; a context variable identifies the trial of that thread.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tune_flows.core.errors import UserError
from tune_flows.trainable.checkpoint import Checkpoint

__all__ = [
    "Session",
    "TrialContext",
    "TrialInterrupted",
    "enter",
    "get_checkpoint",
    "get_context",
    "report",
]


class TrialInterrupted(BaseException):
    """Raised by `report` when the trial must end: clean up and let it propagate.

    Not an `Exception`, so that `except Exception` in a training loop does not keep the trial alive.
    """


@dataclass(frozen=True, slots=True)
class TrialContext:
    """Information about the trial that a training function runs for."""

    trial_id: str
    trial_dir: Path
    """A local folder for files of this trial; removed when the trial leaves this worker."""
    experiment_name: str
    resources: dict[str, float]
    """Resources of the trial, by Ray's names: `CPU`, `GPU`, ..."""
    config: dict[str, Any]
    iteration: int
    """Training iterations done so far; more than 0 at the start if the trial resumes from a checkpoint."""


class Session(Protocol):
    """The running trial that the functions below act on."""

    def report(self, metrics: Mapping[str, Any], checkpoint: Checkpoint | None) -> None:
        """Hand over the metrics of a finished training iteration."""
        ...

    def restored(self) -> Checkpoint | None:
        """Return the checkpoint to start from; None: start from scratch."""
        ...

    def context(self) -> TrialContext:
        """Return the trial's current context."""
        ...


_session: ContextVar[Session] = ContextVar("tune_flows_session")


def enter(session: Session) -> None:
    """Make `session` the session of the current context."""
    _session.set(session)


def report(metrics: Mapping[str, Any], *, checkpoint: Checkpoint | None = None) -> None:
    """Hand over the metrics of one training iteration; return at once unless a decision is due.

    Args:
        metrics: Metrics by name; nested dicts are flattened with `/`. `"done": True` ends the trial.
        checkpoint: State to resume from after this iteration. It is copied before this returns, so its folder
            may then be changed or removed; it is durable soon after, always before the trial's end. The
            next checkpoint waits for its upload.

    Raises:
        TrialInterrupted: The trial must end.
        TrainableError: A metric is not a JSON value.
        UserError: No trial runs on this thread.
    """
    _current("report").report(metrics, checkpoint)


def get_checkpoint() -> Checkpoint | None:
    """Return the checkpoint that this trial resumes from; None: it starts from scratch.

    Raises:
        UserError: No trial runs on this thread.
    """
    return _current("get_checkpoint").restored()


def get_context() -> TrialContext:
    """Return the context of this trial, such as its id, its configuration and its local folder.

    Raises:
        TrialInterrupted: The trial must end: the local folder cannot be created on its worker's disk.
        UserError: No trial runs on this thread.
    """
    return _current("get_context").context()


def _current(name: str) -> Session:
    try:
        return _session.get()
    except LookupError:
        raise UserError(
            f"{name}(): called outside of a trial, expected inside a training function that `tune` runs, on "
            "the thread it was called on. A class Trainable has `self` instead: step() returns the metrics."
        ) from None
