"""How many faults of each kind a trial may have before it fails."""

from tune_flows.core.events import FaultKind
from tune_flows.core.rules import Rules
from tune_flows.core.trial import Trial

__all__ = ["may_retry"]


def may_retry(kind: FaultKind, trial: Trial, rules: Rules) -> bool:
    """Return whether the trial may be retried; its counters already include this fault."""
    match kind:
        case FaultKind.TRAINABLE:
            used, limit = trial.failures, rules.max_failures
        case FaultKind.INFRASTRUCTURE:
            used, limit = trial.infra_failures, rules.max_infra_failures
        case FaultKind.RESTORE:
            used, limit = trial.restore_failures, rules.max_restore_failures
        case FaultKind.PREEMPTION:
            return True
    return limit < 0 or used <= limit
