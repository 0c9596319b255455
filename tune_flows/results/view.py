"""A read-only view of a running, dead or ended experiment: from any machine, without Ray and Prefect.

Rules of this module:

- It writes nothing and fences no driver; an active driver is not affected.
- A view shows the state at the newest journal entry when it was last read. Only `refresh` updates it.
"""

import logging
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from tune_flows.core.codec import record_from_json
from tune_flows.core.errors import CorruptJournalError, ExperimentNotFound, InvalidParameter, StorageError
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import CheckpointRef, Trial, TrialStatus
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.parameters.session import repeated_parameters
from tune_flows.results.frames import ReportedResults, trials_frame
from tune_flows.results.tune_result import TuneResult, best_trial, tune_result
from tune_flows.runner.runner import RunnerSnapshot
from tune_flows.store import HEADER_KEY, Journal, ObjectStore, locate_experiment
from tune_flows.store.control_files import read_session
from tune_flows.store.discovery import experiments_in
from tune_flows.store.header import Header, read_header

if TYPE_CHECKING:
    import pandas as pd

    from tune_flows.store.storage import StorageSource

__all__ = ["ExperimentView", "open_experiment"]

_log = logging.getLogger(__name__)


def open_experiment(
    url: str | os.PathLike[str], *, storage: "str | StorageSource | None" = None
) -> "ExperimentView":
    """Open a read-only view of the experiment at a URL, whether it is running, dead or ended.

    Args:
        url: URL of the experiment, such as `TuneResult.experiment_url`: `storage_path`/`name`.
        storage: The ExperimentStorage block with the credentials, or its name; None: they come from the
            environment. Not needed with a URL such as `block:lake/churn`.

    Raises:
        ExperimentNotFound: There is none; the message names some nearby ones. Final.
        InvalidParameter: The URL is invalid, or there is no such block. Final.
        CorruptJournalError: A stored object is damaged or of a newer format. Final.
        StorageError: The storage refused or did not answer.
    """
    if not (given := os.fspath(url)):
        raise InvalidParameter.of("url", given, "where an experiment lies: storage_path/name")
    location = locate_experiment(given, storage)
    return ExperimentView(ObjectStore(location.url, access=location.access))


class ExperimentView:
    """The state of an experiment when it was last read; created by `open_experiment`.

    Args:
        store: The experiment's objects.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._header = self._read_header()
        self._begin()

    def refresh(self) -> Self:
        """Read the journal entries that are new since the last read, and return this view.

        Raises:
            ExperimentNotFound: It was removed meanwhile. Final.
            CorruptJournalError, StorageError: As `open_experiment`.
        """
        header = self._read_header()
        if header == self._header:
            self._read_on()
        else:  # removed, and begun again under the same name
            self._begin()
            self._header = header
        return self

    # -- identity ----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL of the experiment."""
        return self._store.url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def spec(self) -> ExperimentSpec:
        """The specification it was begun with: `trainable`, `param_space`, `search_alg`, `scheduler`, ..."""
        return self._spec

    @property
    def metric(self) -> str | None:
        """The metric that is tuned; None: trials are not compared, and there is no best trial."""
        return self._spec.metric

    @property
    def mode(self) -> Mode:
        """Whether smaller or larger is better."""
        return self._spec.mode

    @property
    def version(self) -> str:
        """The tune_flows version that it was begun with."""
        return self._header.library

    @property
    def created_at(self) -> datetime:
        """When it was begun, in UTC."""
        return datetime.fromtimestamp(self._header.created_at, UTC)

    # -- status ------------------------------------------------------------------------------

    @property
    def updated_at(self) -> datetime | None:
        """When its newest record was written, in UTC; None: it has none yet.

        The journal cannot distinguish a dead driver from one with slow trials: this time is the only hint.
        """
        return datetime.fromtimestamp(self._state.now, UTC) if self._state.now else None

    @property
    def ended(self) -> str | None:
        """Why it ended; None if it has not."""
        return self._state.ended

    @property
    def is_finished(self) -> bool:
        """Whether it has ended; it can still be extended."""
        return self._state.ended is not None

    @property
    def stopped(self) -> str | None:
        """Why its newest session was stopped; None: it has ended, or its driver is active or dead."""
        return None if self.is_finished else self._state.stopped

    @property
    def epoch(self) -> int:
        """The number of drivers that have started on it so far."""
        return self._state.epoch

    @property
    def target(self) -> int | None:
        """The total number of trials that it may have; None: unlimited."""
        return self._state.target

    @property
    def trials(self) -> list[Trial]:
        """All trials so far, in order of creation: `trial_id`, `status`, `config`, `metrics`, `error`, ..."""
        return list(self._state.trials.values())

    @property
    def num_trials(self) -> dict[TrialStatus, int]:
        """The number of trials by status; every status is a key."""
        return self._state.by_status()

    @property
    def errors(self) -> dict[str, str]:
        """The first line of each failed trial's error, by trial id; `Trial.error` has the traceback."""
        return self.result().errors

    def parameters(self) -> dict[str, Any]:
        """Return the parameters for `tune` to resume it as last run, without `storage_path` and `name`.

        Raises:
            InvalidParameter: Nothing is recorded yet, so that its limits are unknown; or its space or search
                algorithm cannot be created here because their code is missing.
            StorageError: As `open_experiment`.
        """
        if self.updated_at is None:
            raise InvalidParameter(
                f"{self.url}: begun without a record, so that num_samples, stop and budgets are not known: "
                "its driver died early, or has only just begun. Run the original command again."
            )
        return repeated_parameters(self._spec, self._state, self._settings())

    # -- results -----------------------------------------------------------------------------

    @property
    def best_trial(self) -> Trial | None:
        """The trial whose last value is best; None: no trial has a usable value."""
        return best_trial(self._state, self._objective)

    @property
    def best_config(self) -> dict[str, Any] | None:
        """The best trial's configuration."""
        return self.result().best_config

    @property
    def best_metrics(self) -> dict[str, Any] | None:
        """The best trial's last result; NaN and infinities, which JSON does not have, are None."""
        return self.result().best_metrics

    @property
    def best_checkpoint(self) -> CheckpointRef | None:
        """As in `TuneResult`; `result().restore_best_checkpoint(...)` downloads it."""
        return self.result().best_checkpoint

    def result(self) -> TuneResult:
        """Return what `tune` would return; `ended` is "not ended" if it has not ended.

        In that case the stored tables, which the result's `dataframe` reads, are outdated or missing.
        """
        return tune_result(self.url, self._state, self._objective, self._store.access.block)

    def dataframe(self) -> "pd.DataFrame":
        """Return one row per training iteration of each trial, in the order in which they were reported.

        The first call reads the whole journal, later calls only new entries.

        Raises:
            CorruptJournalError, StorageError: As `open_experiment`.
        """
        if self._reported is None:
            self._reported = ReportedResults(), Journal.read(self._store, whole=True)
        reported, journal = self._reported
        reported.read(journal, up_to=self._seq)
        return reported.frame()

    def trials_dataframe(self) -> "pd.DataFrame":
        """Return one row per trial, with its last result."""
        return trials_frame(self._state)

    def __repr__(self) -> str:
        return f"ExperimentView({self.url!r}: {'; '.join(f'{k} {v}' for k, v in self._summary().items())})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in {"experiment": self.url, **self._summary()}.items()
        )
        return f"<table>{rows}</table>"

    def _summary(self) -> dict[str, str]:
        counts = ", ".join(f"{n} {status.lower()}" for status, n in self.num_trials.items() if n)
        best, metric = self.best_trial, self.metric
        value = best.last_result.value(metric) if best and best.last_result and metric else None
        return {
            "ended": self.ended or "not yet",
            "trials": f"{counts or 'none yet'} of {'unlimited' if self.target is None else self.target}",
            "best": f"{metric}={value:.6g} ({best.trial_id}) {str(best.config)[:200]}" if best else "none",
            "updated": f"{self.updated_at:%Y-%m-%d %H:%M:%S} UTC" if self.updated_at else "never",
        }

    # -- reading -----------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        """Return the last session's settings from `session.json`; empty, with a warning, if it is damaged."""
        try:
            session = read_session(self._store)
        except CorruptJournalError as error:
            _log.warning("how the experiment was run last is not known: %s", error)
            return {}
        return session.settings if session else {}

    def _begin(self) -> None:
        """Read the journal from its newest snapshot on."""
        self._journal = Journal.read(self._store)
        self._spec = ExperimentSpec.from_json(self._header.content)
        self._objective = Objective(self._spec.metric, self._spec.mode)
        snapshot = self._journal.snapshot
        self._state = RunnerSnapshot.from_json(snapshot.content).state if snapshot else ExperimentState()
        self._seq = snapshot.seq if snapshot else 0
        self._reported: tuple[ReportedResults, Journal] | None = None
        self._read_on()

    def _read_on(self) -> None:
        for entry in self._journal.read_new():
            for record in [record_from_json(record) for record in entry.records]:
                self._state.apply(record)
            if entry.records:
                self._state.at(entry.at)
            self._seq = entry.seq

    def _read_header(self) -> Header:
        if (header := read_header(self._store)) is None:
            raise ExperimentNotFound(_not_found(self._store))
        return header


def _not_found(store: ObjectStore) -> str:
    """Return the message for a URL without an experiment; it names similar experiments nearby."""
    url = store.url
    message = f"{url}: there is no experiment here (no {HEADER_KEY})."
    above, _, name = url.rpartition("/")
    for place, like in ((url, ""), (above, name)):
        with suppress(StorageError):  # the storage may allow reads but not listing
            listable = place and not place.endswith(":/")
            if listable and (found := experiments_in(place, access=store.access, like=like)):
                return f"{message} Some in {place}: {', '.join(found)}."
    return (
        f"{message} Expected storage_path/name as `tune` was given them, or TuneResult.experiment_url; "
        "an experiment is there once its flow run has begun."
    )
