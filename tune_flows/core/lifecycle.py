"""The life of a trial: one table of allowed moves, and the only function that makes one.

PENDING -> RUNNING      a worker was granted
RUNNING -> PAUSED       the scheduler's word, its resources are free
RUNNING -> PENDING      a fault that will be retried, or the driver died
RUNNING -> TERMINATED   completed, or stopped
RUNNING -> ERRORED      its failure budget is spent
PAUSED  -> RUNNING      the scheduler's word, a worker was granted
PENDING, PAUSED -> TERMINATED   stopped without a worker
"""

from dataclasses import replace
from typing import Any

from tune_flows.core.errors import InvalidTransition
from tune_flows.core.trial import Trial, TrialStatus

__all__ = ["ALLOWED", "moved"]

_S = TrialStatus

ALLOWED: frozenset[tuple[TrialStatus, TrialStatus]] = frozenset(
    {
        (_S.PENDING, _S.RUNNING),
        (_S.RUNNING, _S.PAUSED),
        (_S.RUNNING, _S.PENDING),
        (_S.RUNNING, _S.TERMINATED),
        (_S.RUNNING, _S.ERRORED),
        (_S.PAUSED, _S.RUNNING),
        (_S.PENDING, _S.TERMINATED),
        (_S.PAUSED, _S.TERMINATED),
    }
)


def moved(trial: Trial, to: TrialStatus, **changes: Any) -> Trial:  # noqa: ANN401 - fields of Trial
    """The trial in its new status, with `changes` applied to its other fields.

    Raises:
        InvalidTransition: The table does not allow the move; nothing has changed.
    """
    if (trial.status, to) not in ALLOWED:
        allowed = sorted(f"{a} -> {b}" for a, b in ALLOWED if a is trial.status) or ["none, it is final"]
        raise InvalidTransition(f"{trial}: cannot become {to}; allowed from here: {', '.join(allowed)}.")
    return replace(trial, status=to, **changes)
