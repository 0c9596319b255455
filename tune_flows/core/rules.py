"""Limits and budgets: what the runner goes by beside its policies."""

from dataclasses import dataclass, field
from typing import Literal

from tune_flows.core.objective import Mode

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """May change from one session to the next; journalled, because a replay goes by the rules of the time."""

    max_concurrent_trials: int | None = None
    """Trials that run at a time; None: as many as there are slots."""
    max_failures: int = 0
    """Faults of its trainable a trial survives; -1: any number."""
    max_infra_failures: int = 3
    """Lost workers, nodes and uploads a trial survives; -1: any number."""
    max_restore_failures: int = 3
    """Checkpoints that could not be fetched a trial survives; -1: any number."""
    retry_delay_s: float = 0.0
    """Seconds before a trial is tried again, see `tune_flows.runner.backoff`; 0: at once."""
    fail_fast: bool | Literal["raise"] = False
    """Whether the first trial that fails for good ends the experiment; "raise": at once."""
    checkpoint_at_end: bool = False
    """Whether a trial saves a checkpoint when it ends."""
    num_to_keep: int | None = None
    """Checkpoints kept for each trial, see `tune_flows.core.keeping`; None: all."""
    checkpoint_score_attribute: str | None = None
    """Name of the metric by which the best ones are kept; None: the newest ones."""
    checkpoint_score_order: Mode = "max"
    """Whether smaller or larger values of it are better."""
    time_budget_s: float | None = None
    """Seconds drivers may be at work on the experiment; downtime does not count."""
    max_steps_per_task: int | None = None
    """Training iterations up to which a worker is sent at a time; None: up to the next decision."""
    stop: dict[str, float] = field(default_factory=dict[str, float])
    """Thresholds at which a trial ends itself, as the parameter `stop` gives them."""
