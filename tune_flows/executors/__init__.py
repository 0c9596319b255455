"""Who runs the trials. Importing this loads no execution framework: `tune_flows.executors.ray` does."""

from tune_flows.executors.base import TrialExecutor
from tune_flows.executors.simulated import SimulatedExecutor

__all__ = ["SimulatedExecutor", "TrialExecutor"]
