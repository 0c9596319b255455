"""Ranking of a trial's checkpoints and selection of those to keep.

Rules of this module:

- A checkpoint without a usable value (missing, NaN or infinite) ranks lowest; between equal values the newer
  checkpoint is better.
- The newest checkpoint is always kept, regardless of its value: a retry starts from it.
"""

import math
from collections.abc import Sequence

from tune_flows.core.objective import Mode
from tune_flows.core.rules import Rules
from tune_flows.core.trial import CheckpointRef

__all__ = ["best_checkpoint", "surplus_checkpoints"]


def best_checkpoint(
    checkpoints: Sequence[CheckpointRef], metric: str | None, mode: Mode
) -> CheckpointRef | None:
    """Return the checkpoint with the best `metric`, or the newest if no value is usable; None if empty.

    Args:
        checkpoints: Oldest first.
        metric: Name of the metric to rank by; None: the newest checkpoint is best.
        mode: Whether a smaller or larger value is better.
    """
    ranked = _worst_first(checkpoints, metric, mode)
    return ranked[-1] if ranked else None


def surplus_checkpoints(checkpoints: Sequence[CheckpointRef], rules: Rules) -> list[CheckpointRef]:
    """Return the checkpoints that the rules do not keep, worst first.

    Args:
        checkpoints: All checkpoints of the trial, oldest first.
        rules: How many checkpoints are kept, and by which metric.
    """
    if rules.num_to_keep is None:
        return []
    ranked = _worst_first(checkpoints, rules.checkpoint_score_attribute, rules.checkpoint_score_order)
    return [ref for ref in ranked[: -rules.num_to_keep] if ref is not checkpoints[-1]]


def _worst_first(checkpoints: Sequence[CheckpointRef], metric: str | None, mode: Mode) -> list[CheckpointRef]:
    def score(ref: CheckpointRef) -> float:
        value = math.nan if metric is None else ref.metrics.get(metric, math.nan)
        if not math.isfinite(value):
            return -math.inf
        return value if mode == "max" else -value

    return sorted(checkpoints, key=score)  # stable: among equal scores, the newer one comes later
