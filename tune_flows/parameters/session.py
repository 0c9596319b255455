"""Saves the parameters of `tune` that no journal record holds, and reconstructs all of them.

The definition of an experiment is in its header, its limits and budgets are in the log. How a session runs it
(the resources of a trial, the address of a Ray cluster) changes no decision and is stored next to the log, so
that these parameters need not be given again to continue the experiment.
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
        # its location, which a copy would not share, and credentials that may be part of it
        *("storage_path", "name"),
        # specific to one run
        *("resume", "max_wall_time_s"),
    }
)


def settings_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `tune` to save as settings; those without a JSON form are left out."""
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
    """Return the parameters of `tune`, except the location, that continue the experiment as it last ran.

    Args:
        spec: From the experiment's header.
        state: From the experiment's log.
        settings: As the newest session saved them; empty: the defaults of `tune` apply.

    Raises:
        InvalidParameter: The space or the search algorithm cannot be made from its JSON form here.
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
    """Return the fields of a parameter group that the rules have under the same names."""
    return {name: getattr(rules, name) for name in group.model_fields if hasattr(rules, name)}
