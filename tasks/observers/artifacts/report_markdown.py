"""The report of a run, in markdown: its state, the best trial, plots, errors."""

import logging
from collections.abc import Callable, Iterator, Mapping

from tune_flows.core.keeping import best_checkpoint
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.plots import Picture, best_so_far, learning_curves, parallel_coordinates, slices
from tune_flows.plots.data import flat_config
from tune_flows.store import ERROR_PREFIX
from tune_flows.tasks.observers.artifacts.markdown import code, size_bytes, table
from tune_flows.tasks.observers.artifacts.summary import Glance

__all__ = ["best_value", "story"]

_log = logging.getLogger(__name__)

_PICTURES: tuple[tuple[str, Callable[..., Picture]], ...] = (
    ("Learning curves", learning_curves),
    ("Best value so far", best_so_far),
    ("Configurations", parallel_coordinates),
    ("Parameters and the metric", slices),
)
_MOST_VALUES = 40
"""Most parameters, and most metrics, that are shown of the best trial."""
_MOST_ERRORS = 5
_TEXT, _SHORT_TEXT = 200, 20
"""Most characters of a value: normally, and if space is short."""


def story(glance: Glance, *, most_bytes: int) -> str:
    """Return the report, with at most `most_bytes` as JSON."""
    most = _TEXT
    while True:
        head, tail = "\n\n".join(_head(glance, most)), "\n\n".join(_errors(glance, most))
        text_bytes = size_bytes(head + tail)
        if text_bytes <= most_bytes // 4 or most <= _SHORT_TEXT:
            break
        most //= 2
    pictures = "\n\n".join(_pictures(glance, most_bytes - text_bytes))
    return "\n\n".join(part for part in (head, pictures, tail) if part) + "\n"


def _head(glance: Glance, most: int) -> Iterator[str]:
    yield f"# {code(glance.name, 100)}"
    rows = [
        ("state", code(glance.state, most)),
        ("trials", glance.progress),
        ("iterations", f"{glance.without_curves.results:,}"),
        ("time at work", glance.elapsed),
        ("storage", code(glance.url, 500)),
    ]
    if glance.ranked:
        aim = "smallest" if glance.objective.mode == "min" else "largest"
        rows.insert(0, ("**best**", f"{best_value(glance, most)}, {aim} is best"))
    yield table(("run", ""), rows)
    if glance.ranked:
        yield from _best(glance, glance.ranked[0], most)


def best_value(glance: Glance, most: int = _TEXT) -> str:
    """Return the best trial and its newest value, in markdown."""
    metric = glance.objective.metric
    if not glance.ranked or metric is None or (last := glance.ranked[0].last_result) is None:
        return "no value to compare yet"
    return f"{code(metric, most)} = {code(last.value(metric), most)} ({code(glance.ranked[0].trial_id)})"


def _best(glance: Glance, best: Trial, most: int) -> Iterator[str]:
    yield f"## Best trial: {code(best.trial_id)}"
    config = flat_config(best.config)
    yield _values(("parameter", "value"), config, most)
    if best.last_result is not None:
        last = best.last_result
        automatic = {"training_iteration": last.iteration, "time_total_s": last.time_total_s}
        yield _values(("reported", "value"), last.metrics | automatic, most)
    kept = best_checkpoint(best.checkpoints, glance.objective.metric, glance.objective.mode)
    if kept is not None:
        yield f"Checkpoint of iteration {kept.iteration}: {code(f'{glance.url}/{kept.path}', 500)}"


def _values(head: tuple[str, str], values: Mapping[str, object], most: int) -> str:
    rows = [(code(name, min(most, 100)), code(value, most)) for name, value in values.items()]
    left_out = len(rows) - _MOST_VALUES
    more = [("…", f"{left_out} more")] if left_out > 0 else []
    return table(head, [*rows[:_MOST_VALUES], *more])


def _errors(glance: Glance, most: int) -> Iterator[str]:
    failed = [trial for trial in glance.trials.values() if trial.status is TrialStatus.ERRORED]
    if failed:
        yield f"## {len(failed):,} failed"
        yield table(
            ("trial", "error"),
            [
                (code(trial.trial_id), code((trial.error or "").partition("\n")[0], most))
                for trial in failed[:_MOST_ERRORS]
            ],
        )
        yield f"Their whole errors: {code(f'{glance.url}/{ERROR_PREFIX}/', 500)}"


def _pictures(glance: Glance, most_bytes: int) -> Iterator[str]:
    """Yield the plots that can be drawn, each within its share of the bytes."""
    if glance.objective.metric is None or not glance.without_curves.results:
        return
    try:
        shown = glance.plot_data()
        for title, draw in _PICTURES:
            # base64 encodes three bytes as four
            picture = draw(shown, "svg", (most_bytes // len(_PICTURES) - 200) * 3 // 4)
            if len(picture.data_uri) <= most_bytes // len(_PICTURES) - 100:
                yield f"![{title}]({picture.data_uri})"
    except Exception as error:
        _log.debug("a picture of %s could not be drawn", glance.name, exc_info=True)
        yield f"No further pictures could be drawn: {code(repr(error))}"
