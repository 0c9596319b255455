"""Executors, which run the trials. Importing this does not load Ray; `executors.ray.executor` does."""

from tune_flows.executors.base import TrialExecutor
from tune_flows.executors.simulated.executor import SimulatedExecutor

__all__ = ["SimulatedExecutor", "TrialExecutor"]
