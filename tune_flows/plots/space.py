"""Plots of the parameters: all of them as parallel coordinates, and each of them against the metric."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tune_flows.plots.canvas import (
    ACCENT,
    INK,
    MUTED,
    PALE,
    PAPER,
    RAMP,
    TEXT,
    WIDTH_IN,
    Detail,
    Format,
    Picture,
    blank,
    panel,
    plot_area,
    shown,
    shown_path,
    tick,
    within,
)
from tune_flows.plots.data import Axis, PlotData, TrialPoint
from tune_flows.plots.scale import Scale, number, scale_of, steps, value_limits
from tune_flows.plots.thinning import best_and_others, out_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_parallel_coordinates", "draw_slices", "parallel_coordinates", "slices"]

_HEIGHT_IN = 3.6
_ROW_IN, _ACROSS = 2.15, 4
_MOST_LINES, _MOST_DOTS = 2, 4
"""Factors for the number of lines and dots, which are cheaper to draw than curves."""
_SHARES = (0.1, 0.25, 0.5, 0.75)
"""Fractions of the lines, the best first, at which the next colour begins."""
_NO_AXES = "The search space has no parameters in which trials differ."
_NO_TRIALS = "No trial has a value of the metric yet."


def parallel_coordinates(of: PlotData, format: Format = "svg", size_bytes: int | None = None) -> Picture:
    """Plot each configuration as a line through the parameters to the metric; darker lines are better.

    Args:
        of: The data to plot.
        format: Format of the picture.
        size_bytes: Maximum size, for which detail is reduced; None: unlimited.
    """
    return within(size_bytes, format, lambda detail: draw_parallel_coordinates(of, detail))


def slices(of: PlotData, format: Format = "svg", size_bytes: int | None = None) -> Picture:
    """Plot each parameter against the metric, one dot per trial. Args: see `parallel_coordinates`."""
    return within(size_bytes, format, lambda detail: draw_slices(of, detail))


def draw_parallel_coordinates(of: PlotData, detail: Detail) -> "Figure":
    """Draw the figure of `parallel_coordinates`."""
    title = "Configurations"
    if not of.axes or not of.tried:
        return blank(title, _NO_AXES if of.tried else "There are no trials yet.")
    trials, axes = _chosen(of, detail.trials * _MOST_LINES), of.axes[: detail.panels]
    figure = panel(_HEIGHT_IN, title, _what_is_shown(len(trials), len(of.tried), of, detail))
    area = plot_area(figure, 0.75, 0.3, WIDTH_IN - 1.7, _HEIGHT_IN - 1.15)
    area.set_axis_off()
    values = [number(tried.value) for tried in trials]
    scales = [scale_of(axis, [tried.config.get(axis.path) for tried in trials]) for axis in axes]
    names = [axis.path for axis in axes]
    if of.objective.metric is not None:
        scales.append(_metric_scale(values, of.objective.mode))
        names.append(of.objective.metric)
    columns = [scale.shares() for scale in scales]
    best = of.best
    for level, places in enumerate(_levels(values)):
        xs, ys = _with_gaps([[column[place] for column in columns] for place in places])
        area.plot(xs, ys, color=RAMP[level], linewidth=0.9 if len(trials) < 100 else 0.6, zorder=1 + level)
    if best is not None:
        at = next(place for place, tried in enumerate(trials) if tried is best)
        area.plot(range(len(columns)), [c[at] for c in columns], color=ACCENT, linewidth=2.2, zorder=9)
    for place, (scale, name) in enumerate(zip(scales, names, strict=True)):
        _upright(area, place, scale, name, len(scales))
    area.set_xlim(-0.02, max(len(scales) - 1, 0.5) + 0.02)
    area.set_ylim(-0.04, 1.04)
    return figure


def draw_slices(of: PlotData, detail: Detail) -> "Figure":
    """Draw the figure of `slices`."""
    title = "Parameters and the metric"
    metric = of.objective.metric
    trials = [tried for tried in _chosen(of, detail.trials * _MOST_DOTS) if math.isfinite(tried.value)]
    if metric is None or not of.axes or not trials:
        why = "No metric is tuned: nothing is compared." if metric is None else _NO_TRIALS
        return blank(title, why if of.axes else _NO_AXES)
    axes = of.axes[: detail.panels]
    rows = math.ceil(len(axes) / _ACROSS)
    across = math.ceil(len(axes) / rows)
    height = 0.45 + rows * _ROW_IN
    with_values = sum(math.isfinite(tried.value) for tried in of.tried)
    figure = panel(height, title, _what_is_shown(len(trials), with_values, of, detail))
    values = [number(tried.value) for tried in trials]
    lower, upper = value_limits(values, of.objective.mode)
    width = (WIDTH_IN - 0.85) / across
    for place, axis in enumerate(axes):
        row, column = divmod(place, across)
        bottom = height - 0.45 - (row + 1) * _ROW_IN + 0.5
        area = plot_area(figure, 0.75 + column * width, bottom, width - 0.2, _ROW_IN - 0.6)
        _dots(area, axis, trials, values)
        area.set_ylim(lower, upper)
        ticks = steps(lower, upper, 4)
        tick(area, "y", ticks if column == 0 else [(at, "") for at, _ in ticks], most=10)
        if column == 0:
            area.set_ylabel(shown(metric, 20), size=9, color=INK, **TEXT)
    return figure


def _dots(area: "Axes", axis: Axis, trials: Sequence[TrialPoint], values: Sequence[float]) -> None:
    """Draw one parameter against the metric; the first of the trials is the best one."""
    scale = scale_of(axis, [tried.config.get(axis.path) for tried in trials], most_ticks=3)
    at = list(scale.positions)
    if scale.discrete:  # spread the dots of a category sideways
        at = [place + 0.3 * ((0.618 * i) % 1 - 0.5) for i, place in enumerate(at)]
    area.plot(at[1:], values[1:], "o", color=RAMP[3], markersize=3.2, markeredgewidth=0)
    area.plot(at[:1], values[:1], "o", color=ACCENT, markersize=6, zorder=3)
    room = 0.5 if scale.discrete else 0.05 * (scale.upper - scale.lower) or 0.5
    area.set_xlim(scale.lower - room, scale.upper + room)
    tick(area, "x", scale.ticks, most=max(3, 22 // max(1, len(scale.ticks))))
    area.set_xlabel(shown_path(axis.path, 26), size=9, color=INK, **TEXT)


def _upright(area: "Axes", place: int, scale: Scale, name: str, count: int) -> None:
    """Draw one of the parallel axes with its name and tick labels."""
    area.plot([place, place], [0, 1], color=PALE, linewidth=1.2, zorder=10)
    most = max(5, 88 // count)
    area.text(place, 1.07, shown_path(name, most), size=8.5, color=INK, ha="center", weight="bold", **TEXT)
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    for at, text in scale.ticks:
        y, label = scale.share(at), shown(text, most)
        area.text(
            place + 0.012 * count, y, label, size=8, color=MUTED, va="center", zorder=11, bbox=box, **TEXT
        )


def _metric_scale(values: Sequence[float], mode: str) -> Scale:
    lower, upper = value_limits(values, mode)
    inside = [min(max(value, lower), upper) for value in values]  # outliers are drawn at the end of the axis
    return Scale(tuple(inside), lower, upper, tuple(steps(lower, upper)))


def _levels(values: Sequence[float]) -> list[list[int]]:
    """Return the indexes of `values`, sorted best first, by colour; those without a value get the first."""
    levels: list[list[int]] = [[] for _ in RAMP]
    for place, value in enumerate(values):
        from_best = sum(place >= share * len(values) for share in _SHARES) if math.isfinite(value) else 4
        levels[len(RAMP) - 1 - from_best].append(place)
    return levels


def _with_gaps(lines: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return many lines as one, separated by NaN; a NaN within a line interrupts it."""
    xs: list[float] = []
    ys: list[float] = []
    for line in lines:
        xs += [*map(float, range(len(line))), math.nan]
        ys += [*line, math.nan]
    return xs, ys


def _chosen(of: PlotData, most: int) -> list[TrialPoint]:
    """Return the trials to draw, the best first, those without a value last."""
    without = [tried for tried in of.tried if not math.isfinite(tried.value)]
    return best_and_others([*of.ranked(), *without], most)


def _what_is_shown(trials: int, there_are: int, of: PlotData, detail: Detail) -> str:
    more = len(of.axes) - detail.panels
    return out_of(trials, there_are, "trial") + (f", {more} more parameters" if more > 0 else "")
