"""Plots of the metric: for each trial over its iterations, and the best value of all trials over time."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tune_flows.plots.canvas import (
    ACCENT,
    INK,
    MUTED,
    PALE,
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
    tick,
    within,
)
from tune_flows.plots.data import Curve, PlotData
from tune_flows.plots.scale import number, steps, value_limits
from tune_flows.plots.thinning import best_and_others, out_of, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["best_so_far", "draw_best_so_far", "draw_learning_curves", "learning_curves"]

_HEIGHT_IN = 3.4
_NO_METRIC = "No metric is tuned: nothing is compared."
_NO_RESULTS = "No trial has reported a value of the metric yet."
_MOST_DOTS = 300


def learning_curves(of: PlotData, format: Format = "svg", size_bytes: int | None = None) -> Picture:
    """Plot the metric over the training iterations, one line per trial; the best trial is highlighted.

    With too many trials for one plot, it shows the best ones and an even selection of the others.

    Args:
        of: The data to plot.
        format: Format of the picture.
        size_bytes: Maximum size, for which detail is reduced; None: unlimited.
    """
    return within(size_bytes, format, lambda detail: draw_learning_curves(of, detail))


def best_so_far(of: PlotData, format: Format = "svg", size_bytes: int | None = None) -> Picture:
    """Plot the best value reported so far over time, and each trial's newest value.

    If times are unknown, the x-axis is the number of results. Args: see `learning_curves`.
    """
    return within(size_bytes, format, lambda detail: draw_best_so_far(of, detail))


def draw_learning_curves(of: PlotData, detail: Detail) -> "Figure":
    """Draw the figure of `learning_curves`."""
    title = "Learning curves"
    if of.objective.metric is None:
        return blank(title, _NO_METRIC)
    known = {curve.trial_id: curve for curve in of.curves if any(map(math.isfinite, curve.values))}
    if not known:
        return blank(title, _NO_RESULTS)
    best_first = [tried.trial_id for tried in of.ranked() if tried.trial_id in known]
    ranked = list(dict.fromkeys([*best_first, *known]))
    chosen = best_and_others(ranked, detail.trials)
    best = of.best.trial_id if of.best is not None else ranked[0]
    lines = {i: _line(known[i], detail.points) for i in chosen}
    figure = panel(_HEIGHT_IN, title, out_of(len(chosen), len(ranked), "trial"))
    area = plot_area(figure, 0.75, 0.5, WIDTH_IN - 1.0, _HEIGHT_IN - 1.05)
    for place, trial_id in reversed(list(enumerate(chosen))):  # better lines are drawn later, on top
        shade = RAMP[-1 - min(place * len(RAMP) // len(chosen), len(RAMP) - 1)]
        _draw_line(area, *lines[trial_id], shade, stands_out=trial_id == best)
    _frame(area, "training_iteration", of, [v for _, values in lines.values() for v in values])
    first = min(iterations[0] for iterations, _ in lines.values())
    last = max(iterations[-1] for iterations, _ in lines.values())
    _across(area, first, last, whole=True)
    value = f": {of.objective.metric} = {of.best.value:.6g}" if of.best is not None else ""
    _legend(area, f"{best}{value}")
    return figure


def draw_best_so_far(of: PlotData, detail: Detail) -> "Figure":
    """Draw the figure of `best_so_far`."""
    title = "Best value so far"
    if of.objective.metric is None:
        return blank(title, _NO_METRIC)
    found = [i for i in of.improvements if math.isfinite(i.value)]
    if not found:
        return blank(title, _NO_RESULTS)
    timed = all(math.isfinite(i.at) for i in found)
    dots = [t for t in of.tried if timed and math.isfinite(t.at) and math.isfinite(t.value)]
    began = min([t.began for t in dots if math.isfinite(t.began)] + [found[0].at]) if timed else 0.0
    end = max([t.at for t in dots] + [found[-1].at]) - began if timed else max(of.results, found[-1].count)
    unit, name = _time_unit(end) if timed else (1.0, "results")
    at = [(i.at - began) / unit if timed else i.count for i in found]
    best = [number(i.value) for i in found]
    dots = thinned(dots, min(_MOST_DOTS, detail.trials * 4))
    figure = panel(_HEIGHT_IN, title, out_of(of.results, of.results, "result"))
    area = plot_area(figure, 0.75, 0.5, WIDTH_IN - 1.0, _HEIGHT_IN - 1.05)
    values = [number(tried.value) for tried in dots]
    area.plot([(t.at - began) / unit for t in dots], values, "o", color=PALE, markersize=3.5, zorder=1)
    line = thinned([*zip(at, best, strict=True), (end / unit, best[-1])], detail.points * 3)
    xs, ys = [x for x, _ in line], [y for _, y in line]
    area.plot(xs, ys, color=ACCENT, linewidth=2.2, drawstyle="steps-post")
    area.plot(at[-1:], best[-1:], "o", color=ACCENT, markersize=6)
    # the first values may be far from all later ones
    _frame(area, name, of, [*best[len(best) // 2 :], *values])
    _across(area, 0.0 if timed else 1.0, end / unit, whole=not timed)
    _legend(area, f"{found[-1].trial_id}: {of.objective.metric} = {found[-1].value:.6g}")
    return figure


def _line(curve: Curve, most: int) -> tuple[list[int], list[float]]:
    points = thinned(list(zip(curve.iterations, curve.values, strict=True)), most)
    finite = [(iteration, number(value)) for iteration, value in points if math.isfinite(value)]
    finite = finite or [(i, number(v)) for i, v in zip(curve.iterations, curve.values, strict=True)][-1:]
    return [iteration for iteration, _ in finite], [value for _, value in finite]


def _draw_line(
    area: "Axes", iterations: Sequence[int], values: Sequence[float], shade: str, *, stands_out: bool
) -> None:
    area.plot(
        iterations,
        values,
        color=ACCENT if stands_out else shade,
        linewidth=2.2 if stands_out else 1.0,
        marker="o" if len(iterations) == 1 else None,
        markersize=5 if stands_out else 3.5,
        zorder=3 if stands_out else 2,
    )


def _frame(area: "Axes", under: str, of: PlotData, values: Sequence[float]) -> None:
    lower, upper = value_limits(values, of.objective.mode)
    area.set_ylim(lower, upper)
    tick(area, "y", steps(lower, upper), most=10)
    area.set_xlabel(shown(under, 60), size=9, color=MUTED, **TEXT)
    area.set_ylabel(shown(of.objective.metric or "", 32), size=9, color=INK, **TEXT)


def _across(area: "Axes", first: float, last: float, *, whole: bool) -> None:
    """Set the x-axis to run from `first` to `last`."""
    room = 0.02 * (last - first) or 0.5
    area.set_xlim(first - room, last + room)
    ticks = [(at, text) for at, text in steps(first, last, 8) if not whole or float(at).is_integer()]
    tick(area, "x", ticks or [(first, f"{first:g}")])


def _legend(area: "Axes", text: str) -> None:
    """Write the legend of the highlighted line above the axes."""
    area.text(0.012, 1.02, "●", size=8.5, color=ACCENT, transform=area.transAxes, va="bottom", **TEXT)
    area.text(0.03, 1.02, shown(text, 90), size=8.5, color=INK, transform=area.transAxes, va="bottom", **TEXT)


def _time_unit(span_s: float) -> tuple[float, str]:
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if span_s >= 2 * size:
            return size, name
    return 1.0, "seconds"
