"""Decides what happens next: `TrialRunner.step(events, now) -> Step`, without I/O, and its parts."""

from tune_flows.runner.runner import RunnerSnapshot, Step, TrialRunner

__all__ = ["RunnerSnapshot", "Step", "TrialRunner"]
