"""Hyperparameter tuning as a Prefect flow: trials on Ray, the experiment's state on S3 after every step.

Importing this package loads no heavy modules, because every worker process imports it too; each name is
loaded on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_flows.core.errors import (
        AllTrialsFailed,
        ExperimentExists,
        ExperimentFenced,
        ExperimentMismatch,
        ExperimentNotFound,
        InvalidParameter,
        MetricNotReported,
        PolicyError,
        ResourcesUnavailable,
        StorageError,
        TrialFailed,
        TuneError,
    )
    from tune_flows.core.space import (
        choice,
        grid_search,
        lograndint,
        loguniform,
        qlograndint,
        qloguniform,
        qrandint,
        qrandn,
        quniform,
        randint,
        randn,
        sample_from,
        uniform,
    )
    from tune_flows.flow import tune
    from tune_flows.parameters.configs import CheckpointConfig, FailureConfig
    from tune_flows.results.tune_result import TuneResult
    from tune_flows.results.view import ExperimentView, open_experiment
    from tune_flows.tasks.blocks import ExperimentStorage
    from tune_flows.trainable import (
        Checkpoint,
        Trainable,
        get_checkpoint,
        get_context,
        report,
        with_parameters,
    )

__version__ = "0.1.0"

__all__ = [
    "AllTrialsFailed",
    "Checkpoint",
    "CheckpointConfig",
    "ExperimentExists",
    "ExperimentFenced",
    "ExperimentMismatch",
    "ExperimentNotFound",
    "ExperimentStorage",
    "ExperimentView",
    "FailureConfig",
    "InvalidParameter",
    "MetricNotReported",
    "PolicyError",
    "ResourcesUnavailable",
    "StorageError",
    "Trainable",
    "TrialFailed",
    "TuneError",
    "TuneResult",
    "choice",
    "get_checkpoint",
    "get_context",
    "grid_search",
    "lograndint",
    "loguniform",
    "open_experiment",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "report",
    "sample_from",
    "tune",
    "uniform",
    "with_parameters",
]

_HOMES = {
    "tune_flows.core.errors": (
        "AllTrialsFailed",
        "ExperimentExists",
        "ExperimentFenced",
        "ExperimentMismatch",
        "ExperimentNotFound",
        "InvalidParameter",
        "MetricNotReported",
        "PolicyError",
        "ResourcesUnavailable",
        "StorageError",
        "TrialFailed",
        "TuneError",
    ),
    "tune_flows.core.space": (
        "choice",
        "grid_search",
        "lograndint",
        "loguniform",
        "qlograndint",
        "qloguniform",
        "qrandint",
        "qrandn",
        "quniform",
        "randint",
        "randn",
        "sample_from",
        "uniform",
    ),
    "tune_flows.flow": ("tune",),
    "tune_flows.parameters.configs": ("CheckpointConfig", "FailureConfig"),
    "tune_flows.results.tune_result": ("TuneResult",),
    "tune_flows.tasks.blocks": ("ExperimentStorage",),
    "tune_flows.trainable": (
        "Checkpoint",
        "Trainable",
        "get_checkpoint",
        "get_context",
        "report",
        "with_parameters",
    ),
    "tune_flows.results.view": ("ExperimentView", "open_experiment"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
