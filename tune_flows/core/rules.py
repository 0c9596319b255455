"""Limits and budgets that the runner applies in addition to its policies."""

from dataclasses import dataclass, field
from typing import Literal

from tune_flows.core.objective import Mode

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits and budgets of a session; journalled, because a replay applies the rules of each session."""

    max_concurrent_trials: int | None = None
    """Maximum number of trials that run at the same time; None: as many as there are slots."""
    max_failures: int = 0
    """Maximum number of trainable faults after which a trial is still retried; -1: any number."""
    max_infra_failures: int = 3
    """The same for lost workers, nodes and uploads; -1: any number."""
    max_restore_failures: int = 3
    """The same for checkpoints that could not be fetched; -1: any number."""
    retry_delay_s: float = 0.0
    """Seconds before a trial is retried, see `tune_flows.runner.backoff`; 0: immediately."""
    fail_fast: bool | Literal["raise"] = False
    """Whether the first trial that fails for good ends the experiment; "raise": immediately."""
    checkpoint_at_end: bool = False
    """Whether a trial saves a checkpoint when it ends."""
    num_to_keep: int | None = None
    """Number of checkpoints kept for each trial, see `tune_flows.core.keeping`; None: all."""
    checkpoint_score_attribute: str | None = None
    """Name of the metric by which the best checkpoints are kept; None: the newest are kept."""
    checkpoint_score_order: Mode = "max"
    """Whether smaller or larger values of `checkpoint_score_attribute` are better."""
    time_budget_s: float | None = None
    """Seconds that drivers may work on the experiment; time without a driver does not count."""
    max_steps_per_task: int | None = None
    """Maximum number of training iterations in one segment; None: up to the next decision point."""
    stop: dict[str, float] = field(default_factory=dict[str, float])
    """Thresholds at which a trial ends, as given by the parameter `stop`."""
