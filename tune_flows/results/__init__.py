"""The results of an experiment: tables of trials and results, a read-only view, `TuneResult`."""

from tune_flows.results.tune_result import TuneResult
from tune_flows.results.view import ExperimentView, open_experiment

__all__ = ["ExperimentView", "TuneResult", "open_experiment"]
