"""Saves the plots of an experiment to a file: one of them, or all in one column."""

from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result
from tune_flows.plots.canvas import FINEST, Detail, pixels, rendered
from tune_flows.plots.curves import draw_best_so_far, draw_learning_curves
from tune_flows.plots.data import PlotData, axes_of, trial_points_of
from tune_flows.plots.recorder import Recorder
from tune_flows.plots.space import draw_parallel_coordinates, draw_slices
from tune_flows.results.view import ExperimentView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "plot_data", "save_picture"]

_DRAWN: dict[str, Callable[[PlotData, Detail], "Figure"]] = {
    "curves": draw_learning_curves,
    "best": draw_best_so_far,
    "parallel": draw_parallel_coordinates,
    "slices": draw_slices,
}
KINDS = ("overview", *_DRAWN)
"""The kinds of `save_picture`: "overview" shows all of the others, each other kind is one plot."""
_PNG_DPI = 150
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font-family: sans-serif }}
body {{ max-width: 56rem; margin: 2rem auto; padding: 0 1rem }}
svg {{ display: block; width: 100%; height: auto; margin: 1rem 0; border-radius: 6px }}
</style>
<h1>{title}</h1>
<p>{about}</p>
{pictures}
</html>
"""


def save_picture(view: ExperimentView, file: str | Path, kind: str = "overview") -> None:
    """Write a plot of the experiment, in the state that the view shows, to a file.

    Args:
        view: A view returned by `open_experiment`.
        file: Its suffix sets the format: `.svg`, `.png` or `.html` (a self-contained page without scripts).
        kind: One of `KINDS`: "overview" (all of the others), "curves" (the metric over the iterations),
            "best" (the best value over time), "parallel" (the configurations as lines through the
            parameters), "slices" (each parameter against the metric).

    Raises:
        InvalidParameter: `file` has another suffix, or `kind` is unknown. Final.
        CorruptJournalError, StorageError: The view's experiment cannot be read.
        OSError: The file cannot be written.
    """
    path = Path(file)
    format = path.suffix.lower()
    if format not in (".svg", ".png", ".html"):
        raise InvalidParameter.of("file", str(file), "a name that ends in .svg, .png or .html")
    if kind not in KINDS:
        raise InvalidParameter.of("kind", kind, f"one of {', '.join(KINDS)}")
    shown = plot_data(view)
    figures = [draw(shown, FINEST) for name, draw in _DRAWN.items() if kind in ("overview", name)]
    match format:
        case ".svg":
            path.write_bytes(_as_svg(figures))
        case ".png":
            path.write_bytes(_as_png(figures))
        case _:
            path.write_bytes(_as_page(figures, view))


def plot_data(view: ExperimentView) -> PlotData:
    """Return the data to plot of an experiment, in the state that the view shows.

    Raises:
        CorruptJournalError, StorageError: The experiment cannot be read.
    """
    objective = Objective(view.metric, view.mode)
    recorder = _recorded(view, objective)
    trials = view.trials
    return PlotData(
        name=view.name,
        objective=objective,
        axes=axes_of(ParamSpace.parse(view.spec.param_space)),
        tried=trial_points_of(trials, objective),
        curves=recorder.curves({trial.trial_id: trial for trial in trials}),
        improvements=recorder.improvements(),
        results=recorder.results,
    )


def _recorded(view: ExperimentView, objective: Objective) -> Recorder:
    """Return a recorder with all results of the experiment."""
    frame = view.dataframe()
    recorder = Recorder(objective)
    if frame.empty:
        return recorder
    names = ("trial_id", "training_iteration", "time_this_iter_s", "time_total_s", "timestamp")
    columns: list[list[Any]] = [frame[name].tolist() for name in names]
    metric = objective.metric if objective.metric in frame else None
    values: list[Any] = frame[metric].tolist() if metric is not None else [None] * len(frame)
    for trial_id, iteration, this_s, total_s, at, value in zip(*columns, values, strict=True):
        result = Result(iteration, {metric or "": value}, this_s, total_s, at)
        recorder.add_results(trial_id, (result,))
    return recorder


def _as_svg(figures: Sequence["Figure"]) -> bytes:
    """Return the figures in one column, as one SVG drawing."""
    parts: list[str] = []
    width = below = 0.0
    for figure in figures:
        width, height = (72 * inches for inches in figure.get_size_inches())
        _, _, drawing = rendered(figure, "svg").decode().partition(">")
        parts.append(f'{_opened(width, height)} y="{below:g}">{drawing}')
        below += height
    return f"{_opened(width, below, 'pt')}>\n{''.join(parts)}</svg>\n".encode()


def _opened(width: float, height: float, unit: str = "") -> str:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    size = f'width="{width:g}{unit}" height="{height:g}{unit}" viewBox="0 0 {width:g} {height:g}"'
    return f"<svg {names} {size}"


def _as_png(figures: Sequence["Figure"]) -> bytes:
    """Return the figures in one column, as one PNG image."""
    import numpy as np
    from matplotlib import image

    buffer = BytesIO()
    image.imsave(buffer, np.concatenate([pixels(figure, _PNG_DPI) for figure in figures]), format="png")
    return buffer.getvalue()


def _as_page(figures: Sequence["Figure"], view: ExperimentView) -> bytes:
    """Return a self-contained HTML page with the figures."""
    drawings = "\n".join(rendered(figure, "svg").decode() for figure in figures)
    about = f"{view.url}, {view.ended or 'not ended'}"
    return _PAGE.format(title=escape(view.name), about=escape(about), pictures=drawings).encode()
