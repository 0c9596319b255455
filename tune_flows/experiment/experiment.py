"""An experiment on its storage: inspect it, claim it, resume it.

All checks that can refuse a start run before the first object is written, so that a failed start leaves
nothing behind that would block the name.
"""

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tune_flows.core.codec import record_from_json
from tune_flows.core.decisions import Record
from tune_flows.core.errors import (
    ExperimentExists,
    ExperimentMismatch,
    ExperimentNotFound,
    PolicyError,
    StorageError,
)
from tune_flows.core.events import Event, TrialsReopened
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import TrialStatus
from tune_flows.experiment.resume import Resume, SessionRequest
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.runner.runner import RunnerSnapshot, TrialRunner
from tune_flows.schedulers.base import TrialScheduler
from tune_flows.search.base import SearchAlg
from tune_flows.store import (
    COMPLETION_KEY,
    ERROR_PREFIX,
    CheckpointStore,
    Journal,
    ObjectStore,
    error_key,
)
from tune_flows.store.checkpoints import CHECKPOINT_PREFIX
from tune_flows.store.control_files import (
    SESSION_KEY,
    STOP_PREFIX,
    Session,
    remove_stop_request,
    write_session,
)

__all__ = ["Experiment", "collect_orphans", "fold", "history"]

_log = logging.getLogger(__name__)


def history(journal: Journal, *, last_epoch: int | None = None) -> Iterator[tuple[float, list[Record]]]:
    """Yield the loop iterations of a journal: Unix time (s) and records of each.

    Args:
        journal: Read from its snapshot on, if it has one.
        last_epoch: Epoch of the last driver whose iterations are included; None: all are.

    Raises:
        CorruptJournalError: An object cannot be read; the message names it.
    """
    for entry in journal.entries():
        if last_epoch is not None and entry.epoch > last_epoch:
            return
        if entry.records:
            yield entry.at, [record_from_json(record) for record in entry.records]


def fold(journal: Journal) -> ExperimentState:
    """Return the state at the end of a journal."""
    snapshot = journal.snapshot
    state = RunnerSnapshot.from_json(snapshot.content).state if snapshot else ExperimentState()
    for at, records in history(journal):
        for record in records:
            state.apply(record)
        state.at(at)
    return state


def collect_orphans(checkpoints: CheckpointStore, state: ExperimentState) -> None:
    """Remove the checkpoints of past leases that no record refers to, such as half-written ones.

    Args:
        checkpoints: The store that holds them.
        state: State of an experiment that has ended, or was taken over and has not launched a trial yet.

    Raises:
        StorageError: Some could not be removed.
    """
    keeps_all = state.rules.num_to_keep is None
    held = [
        ref
        for trial in state.trials.values()
        for ref in (*(trial.kept if keeps_all else trial.checkpoints), trial.interim)
    ]
    ended = {trial.trial_id: trial.lease for trial in state.trials.values() if trial.lease}
    if ended:
        checkpoints.collect_orphans({ref.path for ref in held if ref is not None}, ended=ended)


def _failed(state: ExperimentState, events: Sequence[Event]) -> Iterator[str]:
    """Yield the ids of the failed trials that the events reopen."""
    for event in events:
        for trial_id in event.trial_ids if isinstance(event, TrialsReopened) else ():
            if state.trials[trial_id].status is TrialStatus.ERRORED:
                yield trial_id


class Experiment:
    """One experiment, before and while this process runs its driver.

    Args:
        store: Its objects.
        spec: Its specification by the current parameters; `seed` is used only if it is new.
        space: The parsed `spec.param_space`.
        search_alg: New; this object calls its `setup`.
        scheduler: New; this object calls its `setup`.
        rules: Limits and budgets of this session.
        num_samples: Total number of samples; None: unlimited.
        resume: Whether it must or must not exist, and whether its ERRORED trials run again.
        settings: This session's settings as JSON values, stored for a later resume; None: not stored.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        spec: ExperimentSpec,
        space: ParamSpace,
        search_alg: SearchAlg,
        scheduler: TrialScheduler,
        rules: Rules,
        num_samples: int | None,
        resume: Resume = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.objective = Objective(spec.metric, spec.mode)
        self._spec = spec
        self._space = space
        self._search_alg = search_alg
        self._scheduler = scheduler
        self._settings = settings
        target = None if num_samples is None else num_samples * search_alg.variants(space)
        self._seen: Journal | None = None
        self._journal: Journal | None = None
        self._runner: TrialRunner | None = None
        self._request = SessionRequest(rules, target, self.objective, resume)

    def look(self) -> ExperimentState | None:
        """Return the experiment's state without claiming it; None if it does not exist yet.

        Raises:
            ExperimentExists, ExperimentNotFound: `resume` forbids that it exists, or requires it. Final.
            ExperimentMismatch: It was begun with other parameters, or `num_samples` would decrease. Final.
            InvalidParameter: A policy cannot work with these parameters. Final.
            StorageError: The storage cannot be read, or cannot be written as a new experiment requires.
        """
        journal = self._seen = Journal.read(self.store, keep=True)
        self._require_expected(journal)
        self._require_same(journal)
        self._set_up()
        if journal.header is None:
            self.store.check_writable()
            return None
        state = fold(journal)
        self._require_growth(state)
        return state

    def is_over(self, state: ExperimentState) -> bool:
        """Return whether nothing is left to do under the current parameters."""
        return self._request.is_fulfilled(state)

    def claim(self) -> tuple[Journal, TrialRunner, list[Event]]:
        """Take the experiment over or create it, and replay its journal; call once, after `look`.

        Returns:
            The journal to append to, the runner at its end, and the first events of this session.

        Raises:
            ExperimentFenced: Another driver took it over at the same moment. Final.
            ExperimentExists: Another driver began it after `look`, and `resume` is "never". Final.
            ExperimentMismatch: After `look`, another driver began or extended it differently. Final.
            CorruptJournalError: The journal cannot be read. Final.
            StorageError: The storage refused or did not answer.
        """
        if self._request.resume == "never":
            # another driver may have begun it after `look`, and must not be fenced
            self._require_expected(Journal.read(self.store))
        writer = f"{socket.gethostname()}/{os.getpid()}"
        journal = self._journal = Journal.open(self.store, writer=writer, seen=self._seen)
        self._seen = None
        with suppress(StorageError):
            # An existing request was for a driver of a discarded journal: epochs have restarted since then.
            remove_stop_request(self.store, journal.epoch)
        if journal.header is None:
            journal.create_header(self._spec.to_json())
        seed = self._spec.seed
        self._require_same(journal)
        if self._spec.seed != seed:  # another driver began it after `look`, with another seed
            self._start_afresh()
        runner = self._runner = self._resumed(journal)
        self._require_growth(runner.state)
        if runner.state.ended is not None:
            self.store.delete(COMPLETION_KEY)  # the experiment is about to continue
        if self._settings is not None:
            journal.require_ownership()  # another driver may have taken over during the replay
            write_session(self.store, Session(journal.epoch, writer, dict(self._settings)))
        first = self._request.events(runner.state)
        for trial_id in _failed(runner.state, first):
            self.store.delete(error_key(trial_id))  # it runs again; its error stays in the journal
        return journal, runner, first

    def discard(self) -> bool:
        """Remove a claimed experiment that cannot run, so that it does not block the name.

        After a crash in between, either the experiment can be resumed or the name is free: checkpoints, of
        which only half-written ones can exist, are removed last.

        Returns:
            False if nothing was removed because it is not claimed, or a trial has a checkpoint to keep.

        Raises:
            ExperimentFenced: Another driver has taken it over; its data stays. Final.
            StorageError: The storage refused or did not answer; some objects may be removed.
        """
        if self._journal is None or self._runner is None:
            return False
        if any(trial.start for trial in self._runner.state.trials.values()):
            return False
        self._journal.require_ownership()
        self.store.delete_prefix(ERROR_PREFIX)
        self.store.delete_prefix(STOP_PREFIX)
        self.store.delete(SESSION_KEY)
        checkpoints = self.store.folders(CHECKPOINT_PREFIX, depth=2)
        self._journal.discard()
        for folder in checkpoints:  # only these: a new experiment of that name may be saving
            self.store.delete_prefix(folder)
        return True

    def _resumed(self, journal: Journal) -> TrialRunner:
        """Return a runner at the end of the journal, replayed from its snapshot.

        Without a snapshot that today's policies can load, the whole journal is replayed.
        """
        state, past = None, journal
        if journal.snapshot is not None:
            snapshot = RunnerSnapshot.from_json(journal.snapshot.content)
            try:
                self._search_alg.load_state(snapshot.search_alg)
                self._scheduler.load_state(snapshot.scheduler)
                state = snapshot.state
            except PolicyError as error:
                _log.warning("the newest snapshot cannot be used, the whole journal is replayed: %s", error)
                self._start_afresh()
                past = Journal.read(self.store, whole=True)
        runner = TrialRunner(
            search_alg=self._search_alg, scheduler=self._scheduler, objective=self.objective, state=state
        )
        for at, records in history(past, last_epoch=journal.epoch):
            runner.replay(records, at)
        return runner

    def _start_afresh(self) -> None:
        """Replace the policies by new ones without state."""
        self._search_alg, self._scheduler = self._search_alg.fresh(), self._scheduler.fresh()
        self._set_up()

    def _set_up(self) -> None:
        for policy in (self._search_alg, self._scheduler):
            policy.setup(space=self._space, objective=self.objective, seed=self._spec.seed)

    def _require_expected(self, journal: Journal) -> None:
        url, resume = self.store.url, self._request.resume
        if journal.header is not None and resume == "never":
            raise ExperimentExists(
                f'resume: got "never", but there is an experiment at {url}. Use another name for a new '
                'one, or resume="auto" to carry this one on.'
            )
        if journal.header is None and resume == "must":
            raise ExperimentNotFound(
                f'resume: got "must", but there is no experiment at {url}. Check storage_path and name, or '
                'use resume="auto" to begin one.'
            )

    def _require_same(self, journal: Journal) -> None:
        if journal.header is not None:
            begun = ExperimentSpec.from_json(journal.header)
            begun.require_same(self._spec, url=self.store.url)
            self._spec = begun

    def _require_growth(self, state: ExperimentState) -> None:
        target = self._request.target
        if target is not None and (state.target is None or target < state.target):
            raise ExperimentMismatch(
                f"num_samples: the experiment at {self.store.url} has {state.target or 'unlimited'} trials, "
                f"these parameters give {target}. An experiment may only grow; use another name for a "
                "smaller one."
            )
