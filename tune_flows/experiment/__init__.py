"""An experiment on its storage and the driver loop that runs it: claim, resume, snapshots, stop requests."""

from tune_flows.experiment.driver import Driver, Observer
from tune_flows.experiment.experiment import Experiment
from tune_flows.experiment.spec import ExperimentSpec

__all__ = ["Driver", "Experiment", "ExperimentSpec", "Observer"]
