"""When a trial has trained enough. Criteria travel to the workers, so importing this is light."""

from tune_flows.stoppers.thresholds import StopCriteria

__all__ = ["StopCriteria"]
