"""What came out of an experiment: the result of the flow, and the tables beside the journal."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from tune_flows.core.events import ResultsReported
from tune_flows.core.json_values import to_json
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import CheckpointRef, Result, Trial, TrialStatus
from tune_flows.experiment import history
from tune_flows.store import (
    RESULTS_KEY,
    TRIALS_KEY,
    CheckpointStore,
    Journal,
    ObjectStore,
    read_table,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TuneResult", "best_trial", "tune_result", "write_tables"]


class TuneResult(BaseModel):
    """What an experiment found; small, JSON, and a parameter for the next flow of the pipeline.

    The tables lie beside the journal; `dataframe` and `trials_dataframe` read them.
    """

    model_config = ConfigDict(frozen=True)

    experiment_url: str = Field(description="Where journal, checkpoints and tables lie.")
    metric: str | None = Field(description="The metric that was tuned.")
    mode: Mode = Field(description="Whether smaller or larger is better.")
    ended: str = Field(description="Why the experiment ended.")
    num_trials: dict[TrialStatus, int] = Field(description="How many trials ended how.")
    best_trial_id: str | None = Field(
        default=None, description="The trial whose last value is best; None: no trial has a usable one."
    )
    best_config: dict[str, Any] | None = Field(default=None, description="Its configuration.")
    best_metrics: dict[str, Any] | None = Field(
        default=None, description="Its last result; null for what JSON does not have (NaN, infinities)."
    )
    best_checkpoint: CheckpointRef | None = Field(default=None, description="Its newest checkpoint.")
    errors: dict[str, str] = Field(
        default_factory=dict, description="First line of each failed trial's error."
    )

    @property
    def best_value(self) -> float | None:
        """The best trial's last value of the metric."""
        if self.best_metrics is None or self.metric is None:
            return None
        return self.best_metrics[self.metric]

    @property
    def best_checkpoint_url(self) -> str | None:
        """The URL of the best trial's newest checkpoint."""
        return f"{self.experiment_url}/{self.best_checkpoint.path}" if self.best_checkpoint else None

    def restore_best_checkpoint(self, target: str | Path) -> Path:
        """Download the best trial's newest checkpoint into the folder `target`, verified; returns the folder.

        Raises:
            FileNotFoundError: The best trial has none; ask for one with `CheckpointConfig`.
            StorageError: It cannot be read, or differs from what was saved.
        """
        if self.best_checkpoint is None:
            raise FileNotFoundError(
                f"{self.best_trial_id} of {self.experiment_url} has no checkpoint; "
                "checkpoint_config={'checkpoint_at_end': true} makes one."
            )
        CheckpointStore(self.experiment_url).restore(asdict(self.best_checkpoint), Path(target))
        return Path(target)

    def dataframe(self) -> "pd.DataFrame":
        """One row for each training iteration of each trial, in the order in which they were reported."""
        return read_table(ObjectStore(self.experiment_url), RESULTS_KEY)

    def trials_dataframe(self) -> "pd.DataFrame":
        """One row for each trial, with its last result."""
        return read_table(ObjectStore(self.experiment_url), TRIALS_KEY)


def best_trial(state: ExperimentState, objective: Objective) -> Trial | None:
    """The trial whose last score is best, the older one of equals; None when no score is usable."""
    best, best_score = None, -math.inf
    for trial in state.trials.values():
        score = objective.score(trial.last_result)
        if score > best_score:
            best, best_score = trial, score
    return best


def tune_result(url: str, state: ExperimentState, objective: Objective) -> TuneResult:
    """The result of an experiment that has ended."""
    best = best_trial(state, objective)
    errors = {
        trial.trial_id: (trial.error or "").partition("\n")[0]
        for trial in state.trials.values()
        if trial.status is TrialStatus.ERRORED
    }
    return TuneResult(
        experiment_url=url,
        metric=objective.metric,
        mode=objective.mode,
        ended=state.ended or "not ended",
        num_trials=state.by_status(),
        best_trial_id=best.trial_id if best else None,
        best_config=best.config if best else None,
        best_metrics=_finite(_row(best, best.last_result)) if best and best.last_result else None,
        best_checkpoint=best.checkpoint if best else None,
        errors=errors,
    )


def write_tables(store: ObjectStore) -> None:
    """Write `results.parquet` and `trials.parquet` from the journal, if there is one.

    Both can be made anew at any time.
    """
    journal = Journal.read(store, whole=True)
    if journal.header is None:
        return
    state = ExperimentState()
    rows: list[dict[str, Any]] = []
    for at, records in history(journal):
        for record in records:
            if isinstance(record, ResultsReported):
                trial = state.trials[record.trial_id]
                configs = _config_columns(trial)
                rows += [_row(trial, result) | configs for result in state.fresh(record)]
            state.apply(record)
        state.at(at)
    trials = [_trial_row(trial) for trial in state.trials.values()]
    write_table(store, RESULTS_KEY, _frame(rows, ("trial_id", "training_iteration")))
    write_table(store, TRIALS_KEY, _frame(trials, ("trial_id", "status")))


def _row(trial: Trial, result: Result) -> dict[str, Any]:
    return {
        "trial_id": trial.trial_id,
        "training_iteration": result.iteration,
        **result.metrics,
        "time_this_iter_s": result.time_this_iter_s,
        "time_total_s": result.time_total_s,
        "timestamp": result.timestamp,
        "done": result.done,
    }


def _trial_row(trial: Trial) -> dict[str, Any]:
    about = {
        "status": str(trial.status),
        "reason": trial.reason,
        "failures": trial.failures + trial.infra_failures,
        "error": trial.error,
        "checkpoint": trial.checkpoint.path if trial.checkpoint else None,
    }
    last = _row(trial, trial.last_result) if trial.last_result else {}
    # a metric may well be called "error"
    reported = {f"metrics/{name}" if name in about else name: value for name, value in last.items()}
    return {"trial_id": trial.trial_id} | reported | about | _config_columns(trial)


def _config_columns(trial: Trial) -> dict[str, Any]:
    columns: dict[str, Any] = {}

    def walk(path: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for key, item in cast("dict[str, object]", value).items():
                walk(f"{path}/{key}", item)
        else:
            columns[path] = value

    for key, value in trial.config.items():
        walk(f"config/{key}", value)
    return columns


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(item) for item in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> "pd.DataFrame":
    """A frame with one type a column, whatever the trials reported; it has `columns` even without rows.

    Whole numbers stay whole beside missing ones; what has no common type becomes JSON text.
    """
    import pandas as pd

    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    return pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> "pd.Series[Any]":
    import pandas as pd

    kinds: set[type] = {type(value) for value in values if value is not None}
    gaps = None in values
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pd.Series(values, dtype="Int64" if gaps else "int64")
    if kinds and kinds <= {float, int}:
        try:
            floats = [math.nan if value is None else float(value) for value in values]
            return pd.Series(floats, dtype="float64")
        except OverflowError:  # a whole number beyond every float
            pass
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if gaps else "bool")
    if not kinds <= {str}:
        values = [None if value is None else json.dumps(to_json(value)) for value in values]
    return pd.Series(values, dtype="str")
