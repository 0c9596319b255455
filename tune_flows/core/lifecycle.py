"""Status transitions of a trial: the table of allowed ones, and the functions that perform them.

PENDING -> RUNNING      a worker was granted
RUNNING -> PAUSED       paused by the scheduler or the end of the session; its resources are free
RUNNING -> PENDING      a fault that will be retried, or the driver died
RUNNING -> TERMINATED   completed, or stopped
RUNNING -> ERRORED      its failure budget is exhausted
PAUSED  -> RUNNING      resumed by the scheduler, a worker was granted
PAUSED  -> PENDING      it was running when the previous session was stopped
PENDING, PAUSED -> TERMINATED   stopped without a worker

ERRORED and TERMINATED are final, unless the user reopens the trial (`reopened`).
"""

from dataclasses import replace
from typing import Any

from tune_flows.core.errors import InvalidTransition
from tune_flows.core.trial import Action, Trial, TrialStatus

__all__ = ["ALLOWED", "released", "reopened", "request", "requeue", "suspend", "transition"]

_S = TrialStatus

ALLOWED: frozenset[tuple[TrialStatus, TrialStatus]] = frozenset(
    {
        (_S.PENDING, _S.RUNNING),
        (_S.RUNNING, _S.PAUSED),
        (_S.RUNNING, _S.PENDING),
        (_S.RUNNING, _S.TERMINATED),
        (_S.RUNNING, _S.ERRORED),
        (_S.PAUSED, _S.RUNNING),
        (_S.PAUSED, _S.PENDING),
        (_S.PENDING, _S.TERMINATED),
        (_S.PAUSED, _S.TERMINATED),
    }
)


def transition(trial: Trial, to: TrialStatus, **changes: Any) -> Trial:  # noqa: ANN401 - fields of Trial
    """Return the trial with the status `to` and with `changes` applied to its other fields.

    Raises:
        InvalidTransition: `ALLOWED` does not contain the transition; nothing has changed.
    """
    if (trial.status, to) not in ALLOWED:
        allowed = sorted(f"{a} -> {b}" for a, b in ALLOWED if a is trial.status) or ["none, it is final"]
        raise InvalidTransition(f"{trial}: cannot become {to}; allowed from here: {', '.join(allowed)}.")
    return replace(trial, status=to, **changes)


def request(trial: Trial, action: Action, reason: str) -> Trial:
    """Stop or pause a trial: a running one once its worker has done so, else a stop takes effect now."""
    runs = trial.status is TrialStatus.RUNNING
    if action is Action.STOP:
        reason = trial.reason or reason
        if runs:
            return replace(trial, pending=action, reason=reason)
        return released(trial, TrialStatus.TERMINATED, reason=reason)
    pauses = runs and action is Action.PAUSE and trial.pending is None
    return replace(trial, pending=action) if pauses else trial


def requeue(trial: Trial) -> Trial:
    """Requeue a trial whose worker is gone, even a stopping one: its final checkpoint may be missing."""
    if trial.pending is Action.PAUSE:
        return released(trial, TrialStatus.PAUSED)
    return transition(trial, TrialStatus.PENDING, until=None)


def suspend(trial: Trial) -> Trial:
    """Pause a running trial whose worker was freed at the end of a session; a pending STOP is kept."""
    if trial.pending is Action.PAUSE:
        return released(trial, TrialStatus.PAUSED)
    return transition(trial, TrialStatus.PAUSED, until=None)


def reopened(trial: Trial, *, restart: bool) -> Trial:
    """Reopen a trial that is over, with its previous results or, if `restart`, from scratch.

    Raises:
        InvalidTransition: The trial is not over; nothing has changed.
    """
    if not trial.is_over:
        raise InvalidTransition(f"{trial}: cannot be reopened; only a trial that is over can.")
    void = {"iteration": 0, "last_result": None, "checkpoints": (), "interim": None}
    void |= {"restored_at": 0, "iterations_since_restore": 0, "former": (), "unfetched": None}
    budget = {"failures": 0, "infra_failures": 0, "restore_failures": 0}
    ended = {"reason": None, "error": None, "pending": None}
    return replace(trial, status=_S.PENDING, **ended, **budget, **(void if restart else {}))


def released(trial: Trial, to: TrialStatus, **changes: Any) -> Trial:  # noqa: ANN401 - fields of Trial
    """Return the trial in status `to`, without a worker and without a pending action."""
    return transition(trial, to, pending=None, until=None, **changes)
