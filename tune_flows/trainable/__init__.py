"""The class and function APIs for users. Workers import this package: standard library only."""

from tune_flows.trainable.api import Trainable
from tune_flows.trainable.checkpoint import Checkpoint
from tune_flows.trainable.parameters import WithParameters, with_parameters
from tune_flows.trainable.resolve import TrainableSpec, resolve_trainable
from tune_flows.trainable.session import TrialContext, TrialInterrupted, get_checkpoint, get_context, report

__all__ = [
    "Checkpoint",
    "Trainable",
    "TrainableSpec",
    "TrialContext",
    "TrialInterrupted",
    "WithParameters",
    "get_checkpoint",
    "get_context",
    "report",
    "resolve_trainable",
    "with_parameters",
]
