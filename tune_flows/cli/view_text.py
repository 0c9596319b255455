"""An experiment as terminal output: a summary, and a table of its trials."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tune_flows.cli.output import fields, grid
from tune_flows.cli.summary import age, best_of, flat, number, one_line, state_of
from tune_flows.core.objective import Objective
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.store.control_files import Session

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from tune_flows.results.view import ExperimentView

__all__ = ["described", "render_view", "trials_table"]


def render_view(view: "ExperimentView", session: Session | None, *, limit: int | None) -> "Group":
    """Return the summary and the table of trials.

    Args:
        view: The experiment.
        session: Its newest session, if known.
        limit: Maximum number of rows in the table; None: all trials.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[Text | Table] = [Text(view.url, style="bold"), described(view, session)]
    if view.trials:
        parts += [Text(), trials_table(view, limit)]
        left = len(view.trials) - (limit or len(view.trials))
        if left > 0:
            parts.append(Text(f"... and {left} more: --all shows them", style="dim"))
    return Group(*parts)


def described(view: "ExperimentView", session: Session | None) -> "Table":
    """Return the summary, one field per line."""
    state = state_of(view)
    why = view.ended or view.stopped
    counts = ", ".join(f"{n} {status.lower()}" for status, n in view.num_trials.items() if n)
    best = best_of(view)
    named = {
        "state": f"{state}: {why}" if why else state,
        "changed": age(view.updated_at),
        "trials": f"{counts} of {view.target or 'unlimited'}" if counts else "none yet",
    }
    if best:
        named["best"] = f"{best['metric']}={number(best['value'])}  ({best['trial_id']})"
        named["config"] = one_line(best["config"] or {})
    newer = session is not None and session.epoch > view.epoch  # the new driver has recorded nothing yet
    if session is not None and (newer or (session.epoch == view.epoch and not why)):
        host, _, process = session.writer.partition("/")
        named["driver"] = f"process {process} on {host}"
    named["begun"] = f"{view.created_at:%Y-%m-%d %H:%M:%S} UTC, tune_flows {view.version}"
    return fields(named.items())


def trials_table(view: "ExperimentView", limit: int | None) -> "Table":
    """Return the table of trials: the best one, running ones, others from best to worst, failed ones."""
    trials = _in_order(view)
    metric = view.metric
    differs = _differing(trials)
    columns: list[tuple[str, dict[str, Any]]] = [
        ("TRIAL", {}),
        ("STATUS", {}),
        ("ITER", {"justify": "right"}),
        *([(metric, {"justify": "right", "max_width": 24})] if metric else []),
        ("CONFIG", {"no_wrap": False}),
        ("NOTE", {"no_wrap": False}),
    ]

    def row(trial: Trial) -> list[str]:
        value = trial.last_result.value(metric) if metric and trial.last_result else None
        note = (trial.error or "").partition("\n")[0] or trial.reason or ""
        return [
            trial.trial_id,
            str(trial.status),
            str(trial.iteration),
            *([number(value)] if metric else []),
            one_line(trial.config, differs),
            note,
        ]

    return grid(columns, map(row, trials[:limit]))


def _in_order(view: "ExperimentView") -> list[Trial]:
    objective, best = Objective(view.metric, view.mode), view.best_trial

    def key(trial: Trial) -> tuple[bool, bool, bool, float]:
        score = objective.score(trial.last_result)
        failed = trial.status is TrialStatus.ERRORED
        running = trial.status is TrialStatus.RUNNING
        return trial is not best, failed, not running, -score if math.isfinite(score) else math.inf

    return sorted(view.trials, key=key)


def _differing(trials: Sequence[Trial]) -> list[str] | None:
    """Return the parameters whose values differ between trials; None (show all) if there are none."""
    seen: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in flat(trial.config).items():
            seen.setdefault(name, set()).add(repr(value))
    return [name for name, values in seen.items() if len(values) > 1] or None
