"""Whether data in YAML, JSON and TOML blocks is what it is meant to be."""

import inspect
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from tests.docs_example import Block
from tune_flows import CheckpointConfig, FailureConfig, TuneResult, tune
from tune_flows.core.imports import import_object
from tune_flows.core.space import ParamSpace
from tune_flows.executors.bundles import parse_resources
from tune_flows.schedulers import parse_scheduler
from tune_flows.search import parse_search_alg
from tune_flows.stoppers import StopCriteria

_READ: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
LANGUAGES = frozenset(_READ)
_TUNE = "tune_flows.flow:tune"
_PARAMETERS: dict[str, Callable[[Any], object]] = {
    "checkpoint_config": CheckpointConfig.model_validate,
    "failure_config": FailureConfig.model_validate,
    "param_space": ParamSpace.parse,
    "resources_per_trial": parse_resources,
    "scheduler": parse_scheduler,
    "search_alg": parse_search_alg,
    "stop": StopCriteria.parse,
}


def check(block: Block) -> None:
    """Fail if the block cannot be read, or a parameter of `tune` in it cannot work."""
    for mapping in _mappings(_READ[block.language](block.source)):
        for name, value in mapping.items():
            if name in _PARAMETERS:
                _PARAMETERS[name](value)
            elif name == "parameters" and (list(mapping) == [name] or mapping.get("entrypoint") == _TUNE):
                assert set(value) <= set(inspect.signature(tune.fn).parameters), f"{block}: {value}"
            elif name == "entrypoint":
                import_object(value, f"{block}: an entrypoint")
        if {"experiment_url", "best_config"} <= mapping.keys():
            TuneResult.model_validate(mapping)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _mappings(item)
