"""Runs a trainable inside a worker process. Workers import this: standard library only."""

from tune_flows.worker.checkpoint_backend import CheckpointTransport
from tune_flows.worker.host import TrialHost
from tune_flows.worker.messages import Batch, Outcome, StartTrial, Stretch
from tune_flows.worker.step_clock import StepClock

__all__ = ["Batch", "CheckpointTransport", "Outcome", "StartTrial", "StepClock", "Stretch", "TrialHost"]
