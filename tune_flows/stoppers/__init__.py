"""Criteria for ending a trial. Workers import this package, so it has no heavy imports."""

from tune_flows.stoppers.thresholds import StopCriteria

__all__ = ["StopCriteria"]
