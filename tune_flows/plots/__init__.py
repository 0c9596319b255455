"""Pictures of an experiment: how its trials learned, what the best was when, what the parameters do.

They are drawn from plain data, without a display, from any thread; matplotlib is loaded by the first one.

    save_picture(view, "run.html")                      # all of them; also .svg and .png
    save_picture(view, "curves.svg", kind="curves")

`plot_data(view)` gathers what the single pictures (`learning_curves`, `best_so_far`, `parallel_coordinates`,
`slices`) are drawn from; each returns a `Picture`: bytes and their media type.
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
