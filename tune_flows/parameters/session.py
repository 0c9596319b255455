"""The parameters of `tune` that no record of the journal holds, and all of them put together again.

What an experiment is lies in its header, its limits and budgets in the log. How a session runs it (the
resources of a trial, the address of a Ray cluster) changes no decision and is noted beside the log, so that
whoever carries the experiment on need not say it again.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tune_flows.core.json_values import NotJson, plain_json
from tune_flows.core.rules import Rules
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.parameters.configs import CheckpointConfig, FailureConfig
from tune_flows.search import parse_search_alg

__all__ = ["repeated_parameters", "settings_of"]

_NOT_NOTED = frozenset(
    {
        # in the header
        *("trainable", "param_space", "metric", "mode", "search_alg", "scheduler"),
        # in the log
        *("num_samples", "stop", "time_budget_s", "max_concurrent_trials", "max_steps_per_task"),
        "failure_config",
        # where it lies, which a copy would not share, and credentials that may come with it
        *("storage_path", "name"),
        # about that run alone
        *("resume", "max_wall_time_s"),
    }
)


def settings_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be noted of the arguments of a `tune`; what JSON does not have is left out."""
    noted: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in _NOT_NOTED:
            continue
        plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        try:
            noted[name] = plain_json(plain, strict=True)
        except NotJson:
            continue
    return noted


def repeated_parameters(
    spec: ExperimentSpec, state: ExperimentState, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of `tune`, but for the place, with which the experiment goes on as it was run last.

    Args:
        spec: From its header.
        state: From its log.
        settings: As its newest session noted them; empty: the defaults of `tune` hold.

    Raises:
        InvalidParameter: The space or the search algorithm cannot be made from their JSON form here.
    """
    rules = state.rules
    variants = parse_search_alg(spec.search_alg).variants(ParamSpace.parse(spec.param_space))
    noted_checkpoints: Mapping[str, Any] = settings.get("checkpoint_config") or {}
    return {
        **settings,
        "trainable": spec.trainable,
        "param_space": spec.param_space,
        "metric": spec.metric,
        "mode": spec.mode,
        "search_alg": spec.search_alg,
        "scheduler": spec.scheduler,
        "num_samples": -1 if state.target is None else state.target // variants,
        "stop": rules.stop or None,
        "time_budget_s": rules.time_budget_s,
        "max_concurrent_trials": rules.max_concurrent_trials,
        "max_steps_per_task": rules.max_steps_per_task,
        "checkpoint_config": {**noted_checkpoints, **_of_group(CheckpointConfig, rules)},
        "failure_config": _of_group(FailureConfig, rules),
    }


def _of_group(group: type[BaseModel], rules: Rules) -> dict[str, Any]:
    """The fields of a group of parameters that the rules hold under the same names."""
    return {name: getattr(rules, name) for name in group.model_fields if hasattr(rules, name)}
