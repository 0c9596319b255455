"""An experiment on its storage, and the driver's loop over it: claim, resume, snapshots, requests to stop."""

from tune_flows.experiment.driver import Driver, Observer
from tune_flows.experiment.experiment import Experiment
from tune_flows.experiment.spec import ExperimentSpec

__all__ = ["Driver", "Experiment", "ExperimentSpec", "Observer"]
