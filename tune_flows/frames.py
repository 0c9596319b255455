"""From the journal to pandas: one row for each training iteration, and one for each trial.

The same two frames are the Parquet tables beside the journal and what a view of an experiment shows.

Rules of this module:

- A (trial, iteration) has one row. Of a trial that was restarted from scratch, those of its newest life.
- A column has one type, whatever the trials reported.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from tune_flows.core.codec import record_from_json
from tune_flows.core.decisions import Record
from tune_flows.core.events import Event, ResultsReported, TrialsReopened
from tune_flows.core.json_values import to_json
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Result, Trial
from tune_flows.store import Journal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ReportedResults", "last_row", "trials_frame"]


@dataclass(slots=True)
class ReportedResults:
    """Every result of an experiment, in the order of reporting: a fold over its whole journal."""

    state: ExperimentState = field(default_factory=ExperimentState)
    """The state after the newest entry."""
    seq: int = 0
    """Number of the newest entry; 0: none yet."""
    _rows: list[tuple[tuple[str, Result, int], dict[str, Any]]] = field(default_factory=list[Any])
    """What makes a row of a result, and the columns of the config that the trial had then."""

    def read(self, journal: Journal, *, up_to: int | None = None) -> None:
        """Go on by what `journal` has not given yet.

        Args:
            journal: The same one each time, made by `Journal.read(store, whole=True)`.
            up_to: Number of the last entry; None: all there are.

        Raises:
            CorruptJournalError: An object cannot be read; the message names it.
        """
        for entry in journal.news(up_to=up_to):
            for record in [record_from_json(record) for record in entry.records]:
                self._add(record)
            if entry.records:
                self.state.at(entry.at)
            self.seq = entry.seq

    def frame(self) -> "pd.DataFrame":
        """One row for each training iteration."""
        rows = [_result_row(*reported) | config for reported, config in self._rows]
        return _frame(rows, ("trial_id", "training_iteration"))

    def _add(self, record: Event | Record) -> None:
        if isinstance(record, ResultsReported):
            self._add_results(record)
        self.state.apply(record)
        if isinstance(record, TrialsReopened) and record.restart:
            self._forget(record.trial_ids)

    def _add_results(self, record: ResultsReported) -> None:
        if fresh := self.state.fresh(record):
            trial = self.state.trials[record.trial_id]
            config, begun = _config_columns(trial), trial.restored_at
            self._rows += [((trial.trial_id, new, new.iteration - begun), config) for new in fresh]

    def _forget(self, trial_ids: Sequence[str]) -> None:
        """Drop the rows of those of the trials that begin anew."""
        trials = self.state.trials
        begun_anew = {i for i in trial_ids if i in trials and trials[i].iteration == 0}
        self._rows = [(row, config) for row, config in self._rows if row[0] not in begun_anew]


def trials_frame(state: ExperimentState) -> "pd.DataFrame":
    """One row for each trial, in order of creation, with its last result."""
    return _frame([_trial_row(trial) for trial in state.trials.values()], ("trial_id", "status"))


def _result_row(trial_id: str, result: Result, iterations_since_restore: int) -> dict[str, Any]:
    """A result by the names of the columns, without the config."""
    return {
        "trial_id": trial_id,
        "training_iteration": result.iteration,
        **result.metrics,
        "iterations_since_restore": iterations_since_restore,
        "time_this_iter_s": result.time_this_iter_s,
        "time_total_s": result.time_total_s,
        "timestamp": result.timestamp,
        "done": result.done,
    }


def last_row(trial: Trial) -> dict[str, Any] | None:
    """The trial's last result as a row; None: it has none."""
    last = trial.last_result
    return None if last is None else _result_row(trial.trial_id, last, trial.iterations_since_restore)


def _trial_row(trial: Trial) -> dict[str, Any]:
    about = {
        "status": str(trial.status),
        "reason": trial.reason,
        "failures": trial.faults,
        "error": trial.error,
        "checkpoint": trial.checkpoint.path if trial.checkpoint else None,
    }
    last = last_row(trial) or {}
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
