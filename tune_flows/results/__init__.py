"""What an experiment has found: tables of trials and results, a view of its storage, `TuneResult`."""

from tune_flows.results.tune_result import TuneResult
from tune_flows.results.view import ExperimentView, open_experiment

__all__ = ["ExperimentView", "TuneResult", "open_experiment"]
