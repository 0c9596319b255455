"""What the user trains, and what runs it inside a worker. Workers import this: standard library only."""

from tune_flows.trainable.api import Trainable
from tune_flows.trainable.checkpoint import Checkpoint
from tune_flows.trainable.host import TrialHost
from tune_flows.trainable.messages import Batch, Outcome, StartTrial, Stretch
from tune_flows.trainable.parameters import WithParameters, with_parameters
from tune_flows.trainable.resolve import TrainableSpec, resolve_trainable
from tune_flows.trainable.session import TrialContext, TrialInterrupted, get_checkpoint, get_context, report
from tune_flows.trainable.step_clock import StepClock
from tune_flows.trainable.transport import CheckpointTransport

__all__ = [
    "Batch",
    "Checkpoint",
    "CheckpointTransport",
    "Outcome",
    "StartTrial",
    "StepClock",
    "Stretch",
    "Trainable",
    "TrainableSpec",
    "TrialContext",
    "TrialHost",
    "TrialInterrupted",
    "WithParameters",
    "get_checkpoint",
    "get_context",
    "report",
    "resolve_trainable",
    "with_parameters",
]
