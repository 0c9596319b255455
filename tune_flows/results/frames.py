"""Converts a journal to pandas: one row per training iteration, and one row per trial.

The same two frames are stored as Parquet tables next to the journal and returned by a view of an experiment.

Rules of this module:

- Each (trial, iteration) has one row. A trial restarted from scratch has only the rows since the restart.
- Each column has one type, even if the trials reported values of different types.
- Values are kept by column: a dict per row takes four times the memory, and there may be a million rows.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import TYPE_CHECKING, Any, cast

from tune_flows.core.codec import record_from_json
from tune_flows.core.decisions import Record
from tune_flows.core.events import ResultsReported, TrialsReopened
from tune_flows.core.json_values import to_json
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Result, Trial
from tune_flows.store import Journal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ReportedResults", "last_row", "trials_frame"]


@dataclass(slots=True)
class _Columns:
    """Rows, stored by column."""

    shapes: list[tuple[str, ...]] = field(default_factory=list[Any])
    """The column names of each row, in the row's order; rows with the same names share one tuple."""
    _values: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    """Values by column name, up to the last row that has one; None for earlier rows without one."""
    _shared: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict[Any, Any])
    """The distinct shapes so far, each stored once."""

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row, given as values by column name."""
        for name, value in row.items():
            values = self._values.setdefault(name, [])
            if gap := len(self.shapes) - len(values):
                values += [None] * gap
            values.append(value)
        shape = tuple(row)
        self.shapes.append(self._shared.setdefault(shape, shape))

    def keep(self, which: Sequence[bool]) -> None:
        """Drop the rows for which `which` is false."""
        self.shapes = list(compress(self.shapes, which))
        self._values = {name: list(compress(values, which)) for name, values in self._values.items()}

    def values(self, name: str) -> list[Any]:
        """Return the values of a column, one per row; None where a row has none."""
        values = self._values.get(name, [])
        return values + [None] * (len(self.shapes) - len(values))


@dataclass(slots=True)
class ReportedResults:
    """All results of an experiment in the order of reporting, collected from its whole journal."""

    state: ExperimentState = field(default_factory=ExperimentState)
    """The state after the newest entry."""
    seq: int = 0
    """Number of the newest entry; 0: none yet."""
    _rows: _Columns = field(default_factory=_Columns)
    """The reported results."""
    _configs: _Columns = field(default_factory=_Columns)
    """The configs with which trials reported results."""
    _config_of_row: list[int] = field(default_factory=list[int])
    """For each of `_rows`, the index in `_configs` of the config that the trial had then."""
    _newest: dict[str, tuple[dict[str, Any], int]] = field(default_factory=dict[str, Any])
    """By trial id, the config of its newest row and its index in `_configs`."""

    def read(self, journal: Journal, *, up_to: int | None = None) -> None:
        """Read the entries of `journal` that have not been read yet.

        Args:
            journal: The same one in each call, created by `Journal.read(store, whole=True)`.
            up_to: Number of the last entry to read; None: all entries.

        Raises:
            CorruptJournalError: An object cannot be read; the message names it.
        """
        for entry in journal.read_new(up_to=up_to):
            for record in [record_from_json(record) for record in entry.records]:
                self._add(record)
            if entry.records:
                self.state.at(entry.at)
            self.seq = entry.seq

    def frame(self) -> "pd.DataFrame":
        """Return one row per training iteration."""
        config_shapes = (self._configs.shapes[place] for place in self._config_of_row)
        pairs = dict.fromkeys(zip(self._rows.shapes, config_shapes, strict=True))
        return _frame(("trial_id", "training_iteration"), chain(*pairs), self._values)

    def _values(self, name: str) -> list[Any]:
        """Return a column: the config's value of this name, else the reported value."""
        reported = self._rows.values(name)
        shapes, configs = self._configs.shapes, self._configs.values(name)
        return [
            configs[place] if name in shapes[place] else value
            for place, value in zip(self._config_of_row, reported, strict=True)
        ]

    def _add(self, record: Record) -> None:
        if isinstance(record, ResultsReported):
            self._add_results(record)
        self.state.apply(record)
        if isinstance(record, TrialsReopened) and record.restart:
            self._forget(record.trial_ids)

    def _add_results(self, record: ResultsReported) -> None:
        if fresh := self.state.fresh(record):
            trial = self.state.trials[record.trial_id]
            place = self._place_of_config(trial)
            for new in fresh:
                self._rows.append(_result_row(trial.trial_id, new, new.iteration - trial.restored_at))
                self._config_of_row.append(place)

    def _place_of_config(self, trial: Trial) -> int:
        config, place = self._newest.get(trial.trial_id, (None, -1))
        if config is not trial.config:
            place = len(self._configs.shapes)
            self._configs.append(_config_columns(trial))
            self._newest[trial.trial_id] = trial.config, place
        return place

    def _forget(self, trial_ids: Sequence[str]) -> None:
        """Drop the rows of those of `trial_ids` that restart from scratch."""
        trials = self.state.trials
        begun_anew = {i for i in trial_ids if i in trials and trials[i].iteration == 0}
        kept = [trial_id not in begun_anew for trial_id in self._rows.values("trial_id")]
        self._rows.keep(kept)
        self._config_of_row = list(compress(self._config_of_row, kept))


def trials_frame(state: ExperimentState) -> "pd.DataFrame":
    """Return one row per trial, in order of creation, with its last result."""
    rows = _Columns()
    for trial in state.trials.values():
        rows.append(_trial_row(trial))
    return _frame(("trial_id", "status"), dict.fromkeys(rows.shapes), rows.values)


def _result_row(trial_id: str, result: Result, iterations_since_restore: int) -> dict[str, Any]:
    """Return a result as values by column name, without the config."""
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
    """Return the trial's last result as a row; None if it has none."""
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


def _frame(
    first: Iterable[str], shapes: Iterable[Iterable[str]], values: Callable[[str], list[Any]]
) -> "pd.DataFrame":
    """Return a frame with the columns `first` and those of `shapes`, each with one type.

    Integers stay integers in a column with missing values; values without a common type become JSON text.
    """
    import pandas as pd

    names = dict.fromkeys(chain(first, *shapes))
    return pd.DataFrame({name: _column(values(name)) for name in names})


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
        except OverflowError:  # an integer larger than any float
            pass
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if gaps else "bool")
    if not kinds <= {str}:
        values = [None if value is None else json.dumps(to_json(value)) for value in values]
    return pd.Series(values, dtype="str")
