"""Parameters that the run form of `tune` takes, and what the server says of those that it does not."""

from typing import Any

__all__ = ["BAD", "GOOD"]

UNIFORM = {"type": "uniform", "lower": 0, "upper": 1}

GOOD: list[dict[str, Any]] = [
    {},
    {"trainable": "package.module.name"},
    {"param_space": {"lr": UNIFORM, "deep": {"er": {"lr": UNIFORM}}, "n": None, "text": "x", "list": [1]}},
    {"param_space": {"grid": {"grid_search": [1, 2]}, "drawn": {"type": "sample_from", "function": "a.b:c"}}},
    {"num_samples": -1, "time_budget_s": 0.5},
    {"max_concurrent_trials": None, "max_steps_per_task": 1, "step_timeout_s": 2, "max_wall_time_s": 0},
    {"storage_retry_s": 0, "shutdown_grace_s": 0.0, "max_task_runs_per_s": 0.1},
    {"metric": None, "mode": "min", "resume": "errored", "name": "churn-{date}", "ray_address": "auto"},
    {"stop": {}, "time_budget_s": None, "name": None},
    {"stop": {"training_iteration": 81, "loss": -0.5}},
    {"resources_per_trial": {"cpu": 0.5, "license": 1}},
    {"resources_per_trial": [{"cpu": 1}, {"cpu": 2, "gpu": 1}]},
    {"resources_per_trial": {"bundles": [{"cpu": 1}], "strategy": "STRICT_SPREAD"}},
    {"checkpoint_config": {"checkpoint_at_end": True}, "failure_config": {"fail_fast": "raise"}},
    {"checkpoint_config": {}, "failure_config": {"fail_fast": True, "max_failures": -1}},
    {"scheduler": {"type": "fifo"}},
    {"scheduler": {"type": "asha", "max_t": 9, "grace_period": 3}},
    {"scheduler": {"type": "hyperband"}},
    {"scheduler": {"type": "pbt", "hyperparam_mutations": {"learning_rate": UNIFORM}}},
    {"scheduler": {"type": "my_project.policies:Patient", "patience": 3}},
    {"search_alg": {"type": "random", "points_to_evaluate": [{"hidden": 16, "deep": {"er": None}}]}},
    {"search_alg": {"type": "grid", "shuffle_seed": None}},
    {"search_alg": {"type": "optuna", "seed": 7}},
    {"search_alg": {"type": "my_project.policies:Lucky"}},
]

NO_SCHEMA = "is not valid under any of the given schemas"

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"trainable": "train"}, "trainable", "'train' does not match"),
    ({"trainable": "<with_parameters(a.b:c, data)>"}, "trainable", "does not match"),
    ({"trainable": "__import__('os').system('ls')"}, "trainable", "does not match"),
    ({"param_space": {}}, "param_space", "{} should be non-empty"),
    ({"param_space": [1]}, "param_space", "[1] is not of type 'object'"),
    ({"param_space": {"lr": {**UNIFORM, "q": 1}}}, "param_space.lr", "('q' was unexpected)"),
    ({"param_space": {"lr": {"type": "uniform"}}}, "param_space.lr", "is a required property"),
    ({"param_space": {"lr": {**UNIFORM, "type": "loguniform"}}}, "param_space.lr.lower", "minimum of 0"),
    ({"param_space": {"n": {"type": "choice", "categories": []}}}, "param_space.n.categories", "non-empty"),
    ({"metric": ""}, "metric", "'' should be non-empty"),
    ({"mode": "maximum"}, "mode", "'maximum' is not one of ['min', 'max']"),
    ({"num_samples": 0}, "num_samples", "0 should not be valid under {'const': 0}"),
    ({"num_samples": -2}, "num_samples", "-2 is less than the minimum of -1"),
    ({"num_samples": "10"}, "num_samples", "'10' is not of type 'integer'"),
    ({"num_samples": None}, "num_samples", "None is not of type 'integer'"),
    ({"time_budget_s": 0}, "time_budget_s", "0 is less than or equal to the minimum of 0"),
    ({"time_budget_s": "1h"}, "time_budget_s", NO_SCHEMA),
    ({"max_concurrent_trials": 0}, "max_concurrent_trials", "0 is less than the minimum of 1"),
    ({"max_steps_per_task": 0}, "max_steps_per_task", "0 is less than the minimum of 1"),
    ({"step_timeout_s": 0}, "step_timeout_s", "0 is less than or equal to the minimum of 0"),
    ({"max_task_runs_per_s": 0}, "max_task_runs_per_s", "0 is less than or equal to the minimum of 0"),
    ({"storage_retry_s": -1}, "storage_retry_s", "-1 is less than the minimum of 0"),
    ({"max_wall_time_s": -1}, "max_wall_time_s", "-1 is less than the minimum of 0"),
    ({"shutdown_grace_s": -1}, "shutdown_grace_s", "-1 is less than the minimum of 0"),
    ({"stop": {"training_iteration": 0}}, "stop.training_iteration", "0 is less than the minimum of 1"),
    ({"stop": {"loss": "low"}}, "stop.loss", "'low' is not of type 'number'"),
    ({"resources_per_trial": {"cpu": -1}}, "resources_per_trial.cpu", "-1 is less than the minimum of 0"),
    (
        {"resources_per_trial": {"strategy": "PACK"}},
        "resources_per_trial",
        "'bundles' is a required property",
    ),
    (
        {"resources_per_trial": {"bundles": [{"cpu": 1}], "strategy": "NEAR"}},
        "resources_per_trial.strategy",
        "'NEAR' is not one of",
    ),
    ({"name": "a/b"}, "name", "'a/b' does not match"),
    ({"resume": "again"}, "resume", "'again' is not one of"),
    ({"ray_address": ""}, "ray_address", "'' should be non-empty"),
    ({"reuse_actors": "no"}, "reuse_actors", "'no' is not of type 'boolean'"),
    ({"checkpoint_config": {"num_to_keep": 0}}, "checkpoint_config.num_to_keep", "minimum of 1"),
    ({"checkpoint_config": {"keep": 1}}, "checkpoint_config", "('keep' was unexpected)"),
    ({"failure_config": {"max_failures": -2}}, "failure_config.max_failures", "minimum of -1"),
    ({"failure_config": {"fail_fast": "slow"}}, "failure_config.fail_fast", NO_SCHEMA),
    ({"failure_config": {"retry_delay_s": 61}}, "failure_config.retry_delay_s", "maximum of 60"),
    ({"scheduler": {"type": "ahsa"}}, "scheduler.type", "'ahsa' does not match '^(fifo|asha|"),
    ({"scheduler": {"max_t": 9}}, "scheduler", "'type' is a required property"),
    ({"scheduler": {"type": "asha", "max_t": -1}}, "scheduler.max_t", "-1 is less than the minimum of 1"),
    ({"scheduler": {"type": "asha", "max_time": 9}}, "scheduler", "('max_time' was unexpected)"),
    ({"search_alg": {"type": "tpe"}}, "search_alg.type", "'tpe' does not match '^(random|grid|optuna|"),
    ({"search_alg": {"seed": 7}}, "search_alg", "'type' is a required property"),
    ({"search_alg": {"type": "optuna", "seed": -1}}, "search_alg.seed", "-1 is less than the minimum of 0"),
    (
        {"scheduler": {"type": "pbt", "hyperparam_mutations": {"lr": {"type": "uniform", "lower": 0}}}},
        "scheduler.hyperparam_mutations.lr",
        "'upper' is a required property",
    ),
]
"""The parameters, the field that is blamed, and why."""
