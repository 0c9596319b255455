"""Parameters that are wrong by themselves, and parameters that cannot work together."""

import math

import pytest

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Objective
from tune_flows.parameters.configs import (
    CheckpointConfig,
    FailureConfig,
    require_fit,
    require_seconds,
    rules_of,
)
from tune_flows.schedulers import ASHAScheduler, FIFOScheduler, HyperBandScheduler
from tune_flows.search import OptunaSearch, RandomSearch

NOTHING = CheckpointConfig()
FUNCTION = {"is_class": False, "can_save": True}


def rules(**changed):
    given = {
        "num_samples": 1,
        "time_budget_s": None,
        "max_concurrent_trials": None,
        "max_steps_per_task": None,
        "checkpoint_config": None,
        "failure_config": None,
    }
    return rules_of(**{**given, **changed})


def test_groups_become_rules():
    made, checkpoints = rules(
        time_budget_s=60,
        max_concurrent_trials=3,
        max_steps_per_task=2,
        checkpoint_config={"checkpoint_at_end": True, "num_to_keep": 2},
        failure_config=FailureConfig(max_failures=1, max_infra_failures=5, fail_fast=True),
    )
    assert (made.time_budget_s, made.max_concurrent_trials, made.max_steps_per_task) == (60, 3, 2)
    assert (made.max_failures, made.max_infra_failures, made.fail_fast) == (1, 5, True)
    assert (made.checkpoint_at_end, made.num_to_keep) == (True, 2)
    assert checkpoints == CheckpointConfig(checkpoint_at_end=True, num_to_keep=2)
    assert (made.checkpoint_score_attribute, made.checkpoint_score_order) == (None, "max")


def test_checkpoints_are_kept_by_their_score():
    config = {"num_to_keep": 2, "checkpoint_score_attribute": "loss", "checkpoint_score_order": "min"}
    made, _ = rules(checkpoint_config=config)
    assert (made.num_to_keep, made.checkpoint_score_attribute, made.checkpoint_score_order) == (
        2,
        "loss",
        "min",
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"checkpoint_score_attribute": "loss"}, "num_to_keep beside checkpoint_score_attribute"),
        (
            {"num_to_keep": 1, "checkpoint_score_order": "min"},
            "checkpoint_score_attribute, the metric that checkpoint_score_order is about",
        ),
        ({"num_to_keep": 1, "checkpoint_score_attribute": ""}, "checkpoint_score_attribute: got ''"),
        (
            {"num_to_keep": 1, "checkpoint_score_attribute": "x", "checkpoint_score_order": "up"},
            "checkpoint_score_order: got 'up', expected 'min' or 'max'",
        ),
    ],
)
def test_scores_without_use_are_refused(config, message):
    with pytest.raises(InvalidParameter, match=f"checkpoint_config.*{message}"):
        rules(checkpoint_config=config)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_seconds_are_named_and_finite(value):
    assert [require_seconds("storage_retry_s", good) for good in (0.0, 7.5)] == [0.0, 7.5]
    with pytest.raises(InvalidParameter, match="storage_retry_s: got"):
        require_seconds("storage_retry_s", value)


def test_no_limit_of_samples_needs_a_limit_of_time():
    assert rules(num_samples=-1, time_budget_s=1)[0].time_budget_s == 1
    with pytest.raises(InvalidParameter, match="num_samples: got -1"):
        rules(num_samples=-1)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("num_samples", 0),
        ("num_samples", -2),
        ("num_samples", True),
        ("time_budget_s", 0),
        ("time_budget_s", math.nan),
        ("time_budget_s", math.inf),
        ("max_concurrent_trials", 0),
        ("max_steps_per_task", -1),
        ("checkpoint_config", {"num_to_keep": 0}),
        ("checkpoint_config", {"keep": 1}),
        ("failure_config", {"max_failures": -2}),
        ("failure_config", "never"),
    ],
)
def test_a_value_out_of_bounds_is_named(parameter, value):
    with pytest.raises(InvalidParameter, match=parameter):
        rules(**{parameter: value})


@pytest.mark.parametrize(
    ("search_alg", "scheduler"), [(OptunaSearch(), FIFOScheduler()), (RandomSearch(), ASHAScheduler())]
)
def test_a_policy_that_compares_needs_a_metric(search_alg, scheduler):
    require_fit(Objective("loss"), search_alg, scheduler, NOTHING, **FUNCTION)
    with pytest.raises(InvalidParameter, match="metric: got None"):
        require_fit(Objective(None), search_alg, scheduler, NOTHING, **FUNCTION)


def test_nothing_that_compares_needs_no_metric():
    require_fit(Objective(None), RandomSearch(), FIFOScheduler(), NOTHING, is_class=True, can_save=False)


def test_a_metric_without_a_name_is_refused():
    with pytest.raises(InvalidParameter, match=r"^metric: got '', expected the name of"):
        require_fit(Objective(""), RandomSearch(), FIFOScheduler(), NOTHING, **FUNCTION)


@pytest.mark.parametrize(
    ("scheduler", "checkpoint_config", "who"),
    [
        (HyperBandScheduler(), NOTHING, "hyperband"),
        (FIFOScheduler(), CheckpointConfig(checkpoint_at_end=True), "checkpoint_config"),
        (FIFOScheduler(), CheckpointConfig(checkpoint_frequency=2), "checkpoint_config"),
    ],
)
def test_who_needs_checkpoints_needs_a_trainable_that_saves(scheduler, checkpoint_config, who):
    given = Objective("loss"), RandomSearch(), scheduler, checkpoint_config
    require_fit(*given, is_class=True, can_save=True)
    with pytest.raises(InvalidParameter, match=f"{who} needs checkpoints"):
        require_fit(*given, is_class=True, can_save=False)


@pytest.mark.parametrize("asked", [{"checkpoint_frequency": 2}, {"checkpoint_at_end": True}], ids=str)
def test_a_function_cannot_be_told_when_to_save(asked):
    ((name, value),) = asked.items()
    message = rf"^checkpoint_config.{name}: got {value}, expected a Trainable .*report\(metrics, checkpoint="
    with pytest.raises(InvalidParameter, match=message):
        require_fit(Objective("loss"), RandomSearch(), FIFOScheduler(), CheckpointConfig(**asked), **FUNCTION)


def test_a_function_that_reports_checkpoints_does_for_every_scheduler():
    keeps = CheckpointConfig(num_to_keep=2)
    require_fit(Objective("loss"), RandomSearch(), HyperBandScheduler(), keeps, **FUNCTION)
