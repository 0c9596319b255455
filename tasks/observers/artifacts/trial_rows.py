"""The table of trials: the best ones, the running ones, then the others by their value."""

from typing import Any

from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.plots.data import flat_config
from tune_flows.store import TRIALS_KEY
from tune_flows.tasks.observers.artifacts.markdown import cell, code, size_bytes
from tune_flows.tasks.observers.artifacts.summary import Glance

__all__ = ["about_rows", "trial_rows"]

_MOST_ROWS, _BEST_FIRST, _MOST_RUNNING = 50, 5, 25
_MOST_COLUMNS = 10
"""Most parameters that have their own column."""
_TEXT, _SHORT_TEXT = 80, 12
"""Most characters of a value: normally, and if space is short."""


def trial_rows(glance: Glance, *, most_bytes: int) -> list[dict[str, Any]]:
    """Return the rows, all with the same columns, with at most `most_bytes` as JSON."""
    chosen, most = _chosen(glance), _TEXT
    rows = [_row(glance, trial, most) for trial in chosen]
    while size_bytes(rows) > most_bytes:
        if most > _SHORT_TEXT:
            most //= 2
        else:
            chosen = chosen[: len(chosen) // 2]
        rows = [_row(glance, trial, most) for trial in chosen]
    return rows


def about_rows(glance: Glance, rows: int) -> str:
    """Return the line above the table, in markdown."""
    left_out = len(glance.trials) - rows
    more = f"**{left_out:,} more trials** are" if left_out else "The whole table is"
    where = code(f"{glance.url}/{TRIALS_KEY}", 500)
    return f"{glance.status()}. {more} in {where}, which is written when the run ends."


def _chosen(glance: Glance) -> list[Trial]:
    running = [trial for trial in glance.trials.values() if trial.status is TrialStatus.RUNNING]
    chosen: dict[str, Trial] = {}
    newest_first = list(glance.trials.values())[::-1]
    for group in (glance.ranked[:_BEST_FIRST], running[:_MOST_RUNNING], glance.ranked, newest_first):
        for trial in group:
            if len(chosen) == _MOST_ROWS:
                return list(chosen.values())
            chosen.setdefault(trial.trial_id, trial)
    return list(chosen.values())


def _row(glance: Glance, trial: Trial, most: int) -> dict[str, Any]:
    row: dict[str, Any] = {"trial": trial.trial_id, "status": str(trial.status), "iteration": trial.iteration}

    def put(name: str, value: object, most: int = most) -> None:
        name = cell(name, _TEXT) or " "
        while name in row:  # a parameter may well be called "status"
            name += " "
        row[name] = cell(value, most)

    metric = glance.objective.metric
    if metric is not None:
        put(metric, trial.last_result.value(metric) if trial.last_result else None)
        put(f"best {metric}", glance.recorder.best_value(trial.trial_id))
    config = flat_config(trial.config)
    for axis in glance.axes[:_MOST_COLUMNS]:
        put(axis.path, config.get(axis.path))
    others = glance.axes[_MOST_COLUMNS:]
    if others:
        put("others", ", ".join(f"{axis.path}={cell(config.get(axis.path), 40)}" for axis in others))
    failed = trial.status is TrialStatus.ERRORED
    put("why", (trial.error or "").partition("\n")[0] if failed else trial.reason, 2 * most)
    return row
