"""Which checkpoints of a trial are the best ones, and which of them are kept.

Rules of this module:

- A checkpoint without a usable value (none, NaN, an infinity) is the worst; of equals the newer one is
  better.
- The newest checkpoint is always kept, whatever its value: it is where a retry starts.
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
    """The checkpoint with the best value of `metric`, the newest one where there is none; None: none at all.

    Args:
        checkpoints: Oldest first.
        metric: Name of the value; None: the newest is best.
        mode: Whether a smaller or larger value is better.
    """
    ranked = _worst_first(checkpoints, metric, mode)
    return ranked[-1] if ranked else None


def surplus_checkpoints(checkpoints: Sequence[CheckpointRef], rules: Rules) -> list[CheckpointRef]:
    """Those that the rules do not keep, worst first.

    Args:
        checkpoints: All that the trial has, oldest first.
        rules: How many are kept, and by which value.
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

    return sorted(checkpoints, key=score)  # stable: of equals, the newer one comes later
