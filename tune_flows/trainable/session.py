"""The function API: what a training function calls while it runs.

Each trial's function runs on a thread of its own; a context variable says which trial that thread belongs to.
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
    """Raised by `report` when the trial shall end here: clean up and let it pass.

    Not an `Exception`, so that `except Exception` in a training loop does not keep the trial alive.
    """


@dataclass(frozen=True, slots=True)
class TrialContext:
    """Where a training function finds itself."""

    trial_id: str
    trial_dir: Path
    """A local folder for files of this trial; gone when the trial leaves this worker."""
    experiment_name: str
    resources: dict[str, float]
    """What the trial was granted, by Ray's names: `CPU`, `GPU`, ..."""
    config: dict[str, Any]
    iteration: int
    """Training iterations done so far; more than 0 at the start when the trial goes on from a checkpoint."""


class Session(Protocol):
    """The running trial behind the functions below."""

    def report(self, metrics: Mapping[str, Any], checkpoint: Checkpoint | None) -> None:
        """One training iteration is done."""
        ...

    def restored(self) -> Checkpoint | None:
        """The checkpoint to go on from."""
        ...

    def context(self) -> TrialContext:
        """The trial as it is now."""
        ...


_session: ContextVar[Session] = ContextVar("tune_flows_session")


def enter(session: Session) -> None:
    """From here on, this context runs the trial of `session`."""
    _session.set(session)


def report(metrics: Mapping[str, Any], *, checkpoint: Checkpoint | None = None) -> None:
    """Hand over the metrics of one training iteration; returns at once unless a decision is due.

    Args:
        metrics: By name; nested dicts are flattened with `/`. `"done": True` ends the trial.
        checkpoint: Where training can go on after this iteration. Handed over when this returns, so its
            folder may be changed or removed; durable soon after, always before the trial's end. The next
            checkpoint waits for it.

    Raises:
        TrialInterrupted: The trial ends here.
        TrainableError: A metric is no JSON value.
        UserError: No trial runs on this thread.
    """
    _current("report").report(metrics, checkpoint)


def get_checkpoint() -> Checkpoint | None:
    """The checkpoint that this trial goes on from; None: it starts from scratch.

    Raises:
        UserError: No trial runs on this thread.
    """
    return _current("get_checkpoint").restored()


def get_context() -> TrialContext:
    """Which trial this is, its configuration and its local folder.

    Raises:
        TrialInterrupted: The trial ends here: its worker's disk has no place for the folder.
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
