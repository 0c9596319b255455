"""The parameters of `tune` except its policies: groups of fields, their bounds, checks of combinations."""

import math
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.rules import Rules
from tune_flows.core.schema import InForm, invalid_parameter
from tune_flows.runner.backoff import LONGEST_DELAY_S
from tune_flows.schedulers.base import TrialScheduler
from tune_flows.search.base import SearchAlg

__all__ = [
    "CheckpointConfig",
    "FailureConfig",
    "require_fit",
    "require_seconds",
    "rules_of",
]

Group = TypeVar("Group", bound=BaseModel)

_GROUP = ConfigDict(extra="forbid", frozen=True, field_title_generator=lambda name, _: name)


class CheckpointConfig(BaseModel):
    """When trials save checkpoints, and how many are kept."""

    model_config = _GROUP

    checkpoint_frequency: int = Field(
        default=0,
        ge=0,
        description="Iterations between two checkpoints of a Trainable class; 0: none on this account.",
    )
    checkpoint_at_end: bool = Field(
        default=False, description="Whether a trial of a Trainable class saves one when it ends."
    )
    num_to_keep: int | None = Field(
        default=None,
        ge=1,
        description="Checkpoints kept of a trial: the newest ones, or the best ones if there is a "
        "checkpoint_score_attribute, and the newest besides; null: all.",
    )
    checkpoint_score_attribute: str | None = Field(
        default=None,
        min_length=1,
        description="Reported metric whose value says which checkpoints are the best; null: keep the newest.",
    )
    checkpoint_score_order: Mode = Field(
        default="max", description="Whether smaller ('min') or larger ('max') values of it are better."
    )

    @model_validator(mode="after")
    def _has_use_for_scores(self) -> Self:
        if self.checkpoint_score_attribute is not None and self.num_to_keep is None:
            raise ValueError("num_to_keep beside checkpoint_score_attribute; without it all are kept")
        if self.checkpoint_score_attribute is None and self.checkpoint_score_order == "min":
            raise ValueError("checkpoint_score_attribute, the metric that checkpoint_score_order is about")
        return self


class FailureConfig(BaseModel):
    """How often a trial is tried again, and what a failed one means for the others."""

    model_config = _GROUP

    max_failures: int = Field(
        default=0, ge=-1, description="Errors of its training code that a trial survives; -1: any number."
    )
    max_infra_failures: int = Field(
        default=3,
        ge=-1,
        description="Lost workers and nodes, hung steps and failed uploads that a trial survives; -1: any "
        "number. A preemption that the cluster announces does not count.",
    )
    max_restore_failures: int = Field(
        default=3,
        ge=-1,
        description="Failed downloads of the checkpoint to go on from that a trial survives; -1: any number.",
    )
    retry_delay_s: float = Field(
        default=0.5,
        ge=0,
        le=LONGEST_DELAY_S,
        description="Seconds before a trial is tried again, at most; doubled with each fault in a row, up to "
        f"{LONGEST_DELAY_S:g} s, and shortened at random by up to half. 0: at once.",
    )
    fail_fast: bool | Annotated[Literal["raise"], InForm(enum=["raise"], title="raise")] = Field(
        default=False,
        description="true: the first failed trial stops the others in order and fails the run; 'raise': the "
        "run fails at once, with the trial's own exception.",
    )


def require_fit(
    objective: Objective,
    search_alg: SearchAlg,
    scheduler: TrialScheduler,
    checkpoint_config: CheckpointConfig,
    *,
    is_class: bool,
    can_save: bool,
) -> None:
    """Reject parameters that are valid individually but cannot work together.

    Args:
        objective: The metric and its direction.
        search_alg: May need the metric.
        scheduler: May need the metric, and checkpoints.
        checkpoint_config: May ask for checkpoints.
        is_class: Whether the trainable is a class; a function saves only when it reports, not on request.
        can_save: Whether the trainable can save checkpoints.

    Raises:
        InvalidParameter: The metric is missing, or the trainable does not support what is requested.
    """
    if objective.metric == "":
        raise InvalidParameter.of("metric", "", "the name of a reported metric, or None")
    for policy in (search_alg, scheduler):
        if objective.metric is None and policy.needs_metric:
            raise InvalidParameter.of(
                "metric", None, f"the name of a reported metric; {policy.kind()} needs it"
            )
    timed = {
        "checkpoint_frequency": checkpoint_config.checkpoint_frequency,
        "checkpoint_at_end": checkpoint_config.checkpoint_at_end,
    }
    for name, value in timed.items():
        if value and not is_class:
            raise InvalidParameter.of(
                f"checkpoint_config.{name}",
                value,
                "a Trainable class for it; this trainable is a function",
                "A function saves with report(metrics, checkpoint=...).",
            )
    if can_save:
        return
    who = {scheduler.kind(): scheduler.saves_at_decisions, "checkpoint_config": any(timed.values())}
    for name, asks in who.items():
        if asks:
            raise InvalidParameter.of(
                "trainable", "a class without save_checkpoint", f"one that has it; {name} needs checkpoints"
            )


def require_seconds(parameter: str, value: float) -> float:
    """Return the value if it is a valid duration.

    Raises:
        InvalidParameter: The value is below 0, infinite or NaN.
    """
    if not (math.isfinite(value) and value >= 0):
        raise InvalidParameter.of(parameter, value, "a finite number of seconds, 0 or more")
    return value


def rules_of(
    *,
    num_samples: int,
    time_budget_s: float | None,
    max_concurrent_trials: int | None,
    max_steps_per_task: int | None,
    checkpoint_config: CheckpointConfig | dict[str, Any] | None,
    failure_config: FailureConfig | dict[str, Any] | None,
) -> tuple[Rules, CheckpointConfig]:
    """Check the limits and budgets, and return them as `Rules`, with the checkpoint configuration.

    Raises:
        InvalidParameter: A value is invalid or out of bounds.
    """
    if num_samples != -1:
        _at_least("num_samples", num_samples, 1, "or -1 for no limit")
    elif time_budget_s is None:
        raise InvalidParameter.of(
            "num_samples", -1, "a number of 1 or more, or -1 together with time_budget_s"
        )
    if time_budget_s is not None and not (math.isfinite(time_budget_s) and time_budget_s > 0):
        raise InvalidParameter.of("time_budget_s", time_budget_s, "seconds above 0, or None for no limit")
    _at_least("max_concurrent_trials", max_concurrent_trials, 1, "or None for as many as fit")
    _at_least("max_steps_per_task", max_steps_per_task, 1, "or None for no limit")
    checkpoints = _group("checkpoint_config", checkpoint_config, CheckpointConfig)
    failures = _group("failure_config", failure_config, FailureConfig)
    rules = Rules(
        max_concurrent_trials=max_concurrent_trials,
        max_failures=failures.max_failures,
        max_infra_failures=failures.max_infra_failures,
        max_restore_failures=failures.max_restore_failures,
        retry_delay_s=failures.retry_delay_s,
        fail_fast=failures.fail_fast,
        checkpoint_at_end=checkpoints.checkpoint_at_end,
        num_to_keep=checkpoints.num_to_keep,
        checkpoint_score_attribute=checkpoints.checkpoint_score_attribute,
        checkpoint_score_order=checkpoints.checkpoint_score_order,
        time_budget_s=time_budget_s,
        max_steps_per_task=max_steps_per_task,
    )
    return rules, checkpoints


def _at_least(parameter: str, value: int | None, least: int, otherwise: str) -> None:
    if value is not None and (isinstance(value, bool) or value < least):
        raise InvalidParameter.of(parameter, value, f"a whole number of {least} or more, {otherwise}")


def _group(parameter: str, value: object, kind: type[Group]) -> Group:
    try:
        return kind.model_validate({} if value is None else value)
    except ValidationError as error:
        raise invalid_parameter(error, parameter, kind) from error
