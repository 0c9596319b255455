"""Who runs the trials. Importing this loads no execution framework: `executors.ray.executor` does."""

from tune_flows.executors.base import TrialExecutor
from tune_flows.executors.simulated.executor import SimulatedExecutor

__all__ = ["SimulatedExecutor", "TrialExecutor"]
