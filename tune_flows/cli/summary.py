"""Summaries of an experiment, as text and as JSON values."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from tune_flows.core.trial import Trial

if TYPE_CHECKING:
    from tune_flows.results.view import ExperimentView

__all__ = ["age", "best_of", "done_of", "flat", "number", "one_line", "state_of", "summary", "trial_form"]

_SILENT_AFTER_S = 120.0


def state_of(view: "ExperimentView", now: float | None = None) -> str:
    """Return the state: ended, stopped (gracefully, before its end), running, silent or new.

    silent: no record for two minutes. Either the driver has died or its trials are slow; the journal does not
    show which.
    """
    if view.is_finished:
        return "ended"
    if view.stopped is not None:
        return "stopped"
    if view.updated_at is None:
        return "new"
    since = (time.time() if now is None else now) - view.updated_at.timestamp()
    return "running" if since < _SILENT_AFTER_S else "silent"


def summary(view: "ExperimentView") -> dict[str, Any]:
    """Return the summary of an experiment as JSON values and datetimes."""
    best = best_of(view)
    return {
        "name": view.name,
        "url": view.url,
        "state": state_of(view),
        "ended": view.ended,
        "stopped": view.stopped,
        "metric": view.metric,
        "mode": view.mode,
        "num_trials": {str(status): count for status, count in view.num_trials.items()},
        "target": view.target,
        "best": best,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
        "version": view.version,
    }


def best_of(view: "ExperimentView") -> dict[str, Any] | None:
    """Return the best trial as JSON values; None if no trial has a usable value of the metric."""
    trial, result = view.best_trial, view.result()
    if trial is None or view.metric is None:
        return None
    return {
        "trial_id": trial.trial_id,
        "metric": view.metric,
        "value": result.best_value,
        "iteration": trial.iteration,
        "config": result.best_config,
        "metrics": result.best_metrics,
        "checkpoint_url": result.best_checkpoint_url,
    }


def trial_form(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON values."""
    return {
        "trial_id": trial.trial_id,
        "status": str(trial.status),
        "iteration": trial.iteration,
        "config": trial.config,
        "metrics": trial.metrics,
        "time_total_s": trial.last_result.time_total_s if trial.last_result else None,
        "failures": trial.faults,
        "reason": trial.reason,
        "error": trial.error,
    }


def done_of(view: "ExperimentView") -> str:
    """Return the finished and the total number of trials, such as "3/10"; "-" before the first record."""
    if view.updated_at is None:
        return "-"
    done = sum(count for status, count in view.num_trials.items() if status.is_final)
    return f"{done}/{'unlimited' if view.target is None else view.target}"


def age(at: datetime | None, now: float | None = None) -> str:
    """Return how long ago a time was, such as "5 min ago"; "never" for None."""
    if at is None:
        return "never"
    seconds = max(0.0, (time.time() if now is None else now) - at.timestamp())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def number(value: object) -> str:
    """Return a metric's value as short text; "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return str(value)


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten a nested mapping, with names joined by `/`."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(cast("Mapping[str, Any]", value), f"{above}{key}/")
        else:
            found[f"{above}{key}"] = value
    return found


def one_line(config: Mapping[str, Any], names: Sequence[str] | None = None) -> str:
    """Return a configuration on one line, limited to `names` if given."""
    items = flat(config)
    shown = items if names is None else {name: items[name] for name in names if name in items}
    return "  ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in shown.items()
    )
