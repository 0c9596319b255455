"""Runs a trainable inside a worker process. Workers import this package: standard library only."""

from tune_flows.worker.checkpoint_backend import CheckpointTransport
from tune_flows.worker.host import TrialHost
from tune_flows.worker.messages import AdvanceRequest, Batch, Outcome, StartTrial
from tune_flows.worker.step_clock import StepClock

__all__ = [
    "AdvanceRequest",
    "Batch",
    "CheckpointTransport",
    "Outcome",
    "StartTrial",
    "StepClock",
    "TrialHost",
]
