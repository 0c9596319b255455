"""Limits and budgets: what the runner goes by beside its policies."""

from dataclasses import dataclass

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
    fail_fast: bool = False
    """Whether the first trial that fails for good ends the experiment."""
    checkpoint_at_end: bool = False
    """Whether a trial saves a checkpoint when it ends."""
    num_to_keep: int | None = None
    """Checkpoints kept for each trial; None: all."""
    time_budget_s: float | None = None
    """Seconds drivers may be at work on the experiment; downtime does not count."""
    max_steps_per_task: int | None = None
    """Training iterations up to which a worker is sent at a time; None: up to the next decision."""
