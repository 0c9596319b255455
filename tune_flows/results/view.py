"""A read-only look at an experiment that runs, died or has ended: from any machine, without Ray and Prefect.

Rules of this module:

- It writes nothing and takes nothing over; a driver at work does not notice it.
- A view shows one moment, the newest entry of the log when it last looked. Only `refresh` moves it on.
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
    """A read-only view of the experiment at a URL, whether it runs, died or has ended.

    Args:
        url: Where it lies, as `TuneResult.experiment_url` says: `storage_path`/`name`.
        storage: The ExperimentStorage block that holds the credentials, or its name; None: the environment
            does. `block:lake/churn` as URL needs none.

    Raises:
        ExperimentNotFound: There is none; the message names some that lie near. Final.
        InvalidParameter: The URL cannot be one, or there is no such block. Final.
        CorruptJournalError: A stored object is damaged or of a newer format. Final.
        StorageError: The storage refused or did not answer.
    """
    if not (given := os.fspath(url)):
        raise InvalidParameter.of("url", given, "where an experiment lies: storage_path/name")
    location = locate_experiment(given, storage)
    return ExperimentView(ObjectStore(location.url, access=location.access))


class ExperimentView:
    """An experiment as it stood when this last looked; made by `open_experiment`.

    Args:
        store: Where it lies.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._header = self._read_header()
        self._begin()

    def refresh(self) -> Self:
        """Look again; reads only what is new since the last look. Returns this view.

        Raises:
            ExperimentNotFound: It was removed meanwhile. Final.
            CorruptJournalError, StorageError: As `open_experiment`.
        """
        header = self._read_header()
        if header == self._header:
            self._read_on()
        else:  # removed, and begun anew under the same name
            self._begin()
            self._header = header
        return self

    # -- what it is --------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it lies."""
        return self._store.url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def spec(self) -> ExperimentSpec:
        """What it is, as it was begun: `trainable`, `param_space`, `search_alg`, `scheduler`, ..."""
        return self._spec

    @property
    def metric(self) -> str | None:
        """The metric that is tuned; None: nothing is compared, and no trial is best."""
        return self._spec.metric

    @property
    def mode(self) -> Mode:
        """Whether smaller or larger is better."""
        return self._spec.mode

    @property
    def version(self) -> str:
        """The tune_flows that it was begun with."""
        return self._header.library

    @property
    def created_at(self) -> datetime:
        """When it was begun, in UTC."""
        return datetime.fromtimestamp(self._header.created_at, UTC)

    # -- how it stands -----------------------------------------------------------------------

    @property
    def updated_at(self) -> datetime | None:
        """When its newest record was made, in UTC; None: it has none yet.

        The log does not tell a driver that died from one whose trials take their time: judge by this.
        """
        return datetime.fromtimestamp(self._state.now, UTC) if self._state.now else None

    @property
    def ended(self) -> str | None:
        """Why it ended; None while it has not."""
        return self._state.ended

    @property
    def is_finished(self) -> bool:
        """Whether it has ended; it can still be extended."""
        return self._state.ended is not None

    @property
    def stopped(self) -> str | None:
        """Why its newest session ended before it did; None: it has ended, or a driver is at work or died."""
        return None if self.is_finished else self._state.stopped

    @property
    def epoch(self) -> int:
        """How many drivers have begun to work on it so far."""
        return self._state.epoch

    @property
    def target(self) -> int | None:
        """Trials that it may have in all; None: without limit."""
        return self._state.target

    @property
    def trials(self) -> list[Trial]:
        """All trials so far, in order of creation: `trial_id`, `status`, `config`, `metrics`, `error`, ..."""
        return list(self._state.trials.values())

    @property
    def num_trials(self) -> dict[TrialStatus, int]:
        """How many trials stand where; every status is a key."""
        return self._state.by_status()

    @property
    def errors(self) -> dict[str, str]:
        """First line of each failed trial's error, by trial id; `Trial.error` has the traceback."""
        return self.result().errors

    def parameters(self) -> dict[str, Any]:
        """What `tune` takes to carry it on as it was run last, but for `storage_path` and `name`.

        Raises:
            InvalidParameter: Nothing is recorded yet, so that its limits are not known; or its space or
                search algorithm cannot be made here, as their code is missing.
            StorageError: As `open_experiment`.
        """
        if self.updated_at is None:
            raise InvalidParameter(
                f"{self.url}: begun without a record, so that num_samples, stop and budgets are not known: "
                "its driver died early, or has only just begun. Run the original command again."
            )
        return repeated_parameters(self._spec, self._state, self._settings())

    # -- what came of it ---------------------------------------------------------------------

    @property
    def best_trial(self) -> Trial | None:
        """The trial whose last value is best; None: no trial has a usable one."""
        return best_trial(self._state, self._objective)

    @property
    def best_config(self) -> dict[str, Any] | None:
        """The best trial's configuration."""
        return self.result().best_config

    @property
    def best_metrics(self) -> dict[str, Any] | None:
        """The best trial's last result; None in it for what JSON does not have (NaN, infinities)."""
        return self.result().best_metrics

    @property
    def best_checkpoint(self) -> CheckpointRef | None:
        """As in `TuneResult`; `result().restore_best_checkpoint(...)` downloads it."""
        return self.result().best_checkpoint

    def result(self) -> TuneResult:
        """What `tune` would return; `ended` is "not ended" where it has not.

        The result's own `dataframe` reads the stored tables, which are old or missing then.
        """
        return tune_result(self.url, self._state, self._objective, self._store.access.block)

    def dataframe(self) -> "pd.DataFrame":
        """One row for each training iteration of each trial, in the order in which they were reported.

        Comes from the log: the first call reads all of it, a later one what is new.

        Raises:
            CorruptJournalError, StorageError: As `open_experiment`.
        """
        if self._reported is None:
            self._reported = ReportedResults(), Journal.read(self._store, whole=True)
        reported, journal = self._reported
        reported.read(journal, up_to=self._seq)
        return reported.frame()

    def trials_dataframe(self) -> "pd.DataFrame":
        """One row for each trial, with its last result."""
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
        """What no record holds of how it was run last; empty, with a warning, where the note is damaged."""
        try:
            session = read_session(self._store)
        except CorruptJournalError as error:
            _log.warning("how the experiment was run last is not known: %s", error)
            return {}
        return session.settings if session else {}

    def _begin(self) -> None:
        """Read from the newest snapshot on."""
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
    """What to tell somebody who looked in the wrong place."""
    url = store.url
    message = f"{url}: there is no experiment here (no {HEADER_KEY})."
    above, _, name = url.rpartition("/")
    for place, like in ((url, ""), (above, name)):
        with suppress(StorageError):  # may be read, but not listed
            listable = place and not place.endswith(":/")
            if listable and (found := experiments_in(place, access=store.access, like=like)):
                return f"{message} Some in {place}: {', '.join(found)}."
    return (
        f"{message} Expected storage_path/name as `tune` was given them, or TuneResult.experiment_url; "
        "an experiment is there once its flow run has begun."
    )
