"""The outcome of an experiment: the result of the flow, and the files derived from the journal."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from tune_flows.core.errors import AllTrialsFailed, TrialFailed
from tune_flows.core.keeping import best_checkpoint
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import CheckpointRef, Trial, TrialStatus
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.results.frames import ReportedResults, last_row, trials_frame
from tune_flows.store import (
    COMPLETION_KEY,
    ERROR_PREFIX,
    RESULTS_KEY,
    TRIALS_KEY,
    CheckpointStore,
    Journal,
    Location,
    ObjectStore,
    locate_experiment,
    read_table,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TuneResult", "best_trial", "require_success", "tune_result", "write_tables"]

_COMPLETION_VERSION = 1
_MOST_SHOWN = 5
"""Most trial errors that an exception quotes."""


class TuneResult(BaseModel):
    """The result of an experiment: small, JSON, usable as a parameter of the next flow of a pipeline.

    The tables are stored next to the journal; `dataframe` and `trials_dataframe` read them.
    """

    model_config = ConfigDict(frozen=True)

    experiment_url: str = Field(description="Where journal, checkpoints and tables lie.")
    storage_block: str | None = Field(
        default=None,
        description="Name of the ExperimentStorage block by which to read there; null: the environment says.",
    )
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
    best_checkpoint: CheckpointRef | None = Field(
        default=None,
        description="Of its kept checkpoints the one with the best value of the metric, else the newest.",
    )
    errors: dict[str, str] = Field(
        default_factory=dict, description="First line of each failed trial's error."
    )

    def __str__(self) -> str:
        """Return a summary of a few lines."""
        counts = ", ".join(f"{count} {status.lower()}" for status, count in self.num_trials.items() if count)
        lines = [f"{self.experiment_url}: {self.ended} ({counts or 'no trials'})"]
        if self.best_trial_id is not None:
            lines += [f"best: {self.metric}={self.best_value:.6g} ({self.best_trial_id}) {self.best_config}"]
        if self.errors:
            trial_id, error = next(iter(self.errors.items()))
            lines += [f"failed: {len(self.errors)}, such as {trial_id}: {error}"]
        return "\n".join(lines)

    @property
    def best_value(self) -> float | None:
        """The best trial's last value of the metric."""
        if self.best_metrics is None or self.metric is None:
            return None
        return self.best_metrics[self.metric]

    @property
    def best_checkpoint_url(self) -> str | None:
        """The URL of `best_checkpoint`."""
        return f"{self.experiment_url}/{self.best_checkpoint.path}" if self.best_checkpoint else None

    def restore_best_checkpoint(self, target: str | Path) -> Path:
        """Download `best_checkpoint` into the folder `target`, verify it, and return the folder.

        Raises:
            FileNotFoundError: The best trial has none; ask for one with `CheckpointConfig`.
            StorageError: It cannot be read, or differs from what was saved.
        """
        if self.best_checkpoint is None:
            raise FileNotFoundError(
                f"{self.best_trial_id} of {self.experiment_url} has no checkpoint; "
                "checkpoint_config={'checkpoint_at_end': true} makes one, a function reports it."
            )
        place = self._place()
        checkpoints = CheckpointStore(place.url, access=place.access)
        checkpoints.restore(asdict(self.best_checkpoint), Path(target))
        return Path(target)

    def dataframe(self) -> "pd.DataFrame":
        """Return one row per training iteration of each trial, in the order in which they were reported."""
        return self._table(RESULTS_KEY)

    def trials_dataframe(self) -> "pd.DataFrame":
        """Return one row per trial, with its last result."""
        return self._table(TRIALS_KEY)

    def _table(self, key: str) -> "pd.DataFrame":
        place = self._place()
        return read_table(ObjectStore(place.url, access=place.access), key)

    def _place(self) -> Location:
        return locate_experiment(self.experiment_url, self.storage_block, parameter="experiment_url")


def best_trial(state: ExperimentState, objective: Objective) -> Trial | None:
    """Return the trial whose last score is best, the oldest on a tie; None if no score is usable."""
    best, best_score = None, -math.inf
    for trial in state.trials.values():
        score = objective.score(trial.last_result)
        if score > best_score:
            best, best_score = trial, score
    return best


def tune_result(
    url: str, state: ExperimentState, objective: Objective, storage_block: str | None = None
) -> TuneResult:
    """Return the result of an experiment; its current result if it has not ended."""
    best = best_trial(state, objective)
    metrics = last_row(best) if best else None
    errors = {
        trial.trial_id: (trial.error or "").partition("\n")[0]
        for trial in state.trials.values()
        if trial.status is TrialStatus.ERRORED
    }
    return TuneResult(
        experiment_url=url,
        storage_block=storage_block,
        metric=objective.metric,
        mode=objective.mode,
        ended=state.ended or "not ended",
        num_trials=state.by_status(),
        best_trial_id=best.trial_id if best else None,
        best_config=best.config if best else None,
        best_metrics=_finite(metrics),
        best_checkpoint=best_checkpoint(best.checkpoints, objective.metric, objective.mode) if best else None,
        errors=errors,
    )


def require_success(
    result: TuneResult, fail_fast: bool | Literal["raise"], own_errors: Mapping[str, Exception] | None = None
) -> None:
    """Raise an error if the experiment failed: all of its trials, or any trial with `fail_fast`.

    Args:
        result: Result of the experiment.
        fail_fast: Whether one failed trial is an error; "raise": its own exception is raised, if known.
        own_errors: The exceptions that trials raised, by trial id.

    Raises:
        TrialFailed: A trial failed, and `fail_fast` is set.
        AllTrialsFailed: Every trial failed.
        Exception: One of `own_errors`, with "raise".
    """
    if not result.errors:
        return
    for trial_id, error in (own_errors or {}).items() if fail_fast == "raise" else ():
        if trial_id in result.errors:
            raise error
    first = islice(result.errors.items(), _MOST_SHOWN)
    shown = "".join(f"\n{trial_id}: {error}" for trial_id, error in first)
    where = f"Their whole errors: {result.experiment_url}/{ERROR_PREFIX}/"
    count = len(result.errors)
    if fail_fast:
        raise TrialFailed(f"{count} trial(s) failed, expected none with fail_fast. {where}{shown}")
    if count == sum(result.num_trials.values()):
        raise AllTrialsFailed(f"All {count} trial(s) failed. {where}{shown}")


def write_tables(store: ObjectStore, *, mark_end: bool = True) -> None:
    """Write both tables and, after the end, `result.json` from the journal, if there is one.

    All of these files can be recreated at any time.

    Args:
        store: The experiment's objects.
        mark_end: Whether to write `result.json`, which marks the experiment as complete.
    """
    journal = Journal.read(store, whole=True)
    if journal.header is None:
        return
    reported = ReportedResults()
    reported.read(journal)
    write_table(store, RESULTS_KEY, reported.frame())
    write_table(store, TRIALS_KEY, trials_frame(reported.state))
    if mark_end and reported.state.ended is not None:
        spec = ExperimentSpec.from_json(journal.header)
        result = tune_result(store.url, reported.state, Objective(spec.metric, spec.mode))
        _mark_as_complete(store, result, reported.seq)
        if any(journal.read_new()):
            store.delete(COMPLETION_KEY)  # another driver has taken over meanwhile, to resume it


def _mark_as_complete(store: ObjectStore, result: TuneResult, seq: int) -> None:
    """Write the result as JSON without its location, so that it is also valid in a copy of the experiment."""
    found = _finite(result.model_dump(mode="json", exclude={"experiment_url", "storage_block"}))
    content = {"v": _COMPLETION_VERSION, "entry": seq, **found}
    store.put(COMPLETION_KEY, f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode("ascii"))


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(item) for item in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
