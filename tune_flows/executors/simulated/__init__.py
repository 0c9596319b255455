"""Trials in virtual time, in this process."""

from tune_flows.executors.simulated.executor import SimulatedExecutor

__all__ = ["SimulatedExecutor"]
