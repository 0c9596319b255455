"""The decision logic without I/O: `TrialRunner.step(events, now) -> Step`, and its parts."""

from tune_flows.runner.runner import RunnerSnapshot, Step, TrialRunner

__all__ = ["RunnerSnapshot", "Step", "TrialRunner"]
