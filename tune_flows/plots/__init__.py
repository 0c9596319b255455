"""Plots of an experiment: learning curves, the best value over time, the effect of the parameters.

They are drawn from plain data, without a display, in any thread; the first plot imports matplotlib.

    save_picture(view, "run.html")                      # all plots; also .svg and .png
    save_picture(view, "curves.svg", kind="curves")

`plot_data(view)` returns the data for the single plots (`learning_curves`, `best_so_far`,
`parallel_coordinates`, `slices`); each of them returns a `Picture`: bytes and their media type.
"""

from tune_flows.plots.canvas import Picture
from tune_flows.plots.curves import best_so_far, learning_curves
from tune_flows.plots.data import Axis, Curve, Improvement, PlotData, TrialPoint, axes_of, trial_points_of
from tune_flows.plots.page import KINDS, plot_data, save_picture
from tune_flows.plots.recorder import Recorder
from tune_flows.plots.space import parallel_coordinates, slices

__all__ = [
    "KINDS",
    "Axis",
    "Curve",
    "Improvement",
    "Picture",
    "PlotData",
    "Recorder",
    "TrialPoint",
    "axes_of",
    "best_so_far",
    "learning_curves",
    "parallel_coordinates",
    "plot_data",
    "save_picture",
    "slices",
    "trial_points_of",
]
