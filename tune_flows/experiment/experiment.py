"""An experiment on its storage: looked at, taken over, carried on.

The order matters: everything that can be refused is refused before the first object is written, so that a
failed start leaves nothing behind that would block the name.
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
    """The loop iterations of a journal: Unix time (s) and records of each.

    Args:
        journal: From its snapshot on, if it has one.
        last_epoch: That of the last driver whose iterations count; None: all do.

    Raises:
        CorruptJournalError: An object cannot be read; the message names it.
    """
    for entry in journal.entries():
        if last_epoch is not None and entry.epoch > last_epoch:
            return
        if entry.records:
            yield entry.at, [record_from_json(record) for record in entry.records]


def fold(journal: Journal) -> ExperimentState:
    """The state that a journal stands for."""
    snapshot = journal.snapshot
    state = RunnerSnapshot.from_json(snapshot.content).state if snapshot else ExperimentState()
    for at, records in history(journal):
        for record in records:
            state.apply(record)
        state.at(at)
    return state


def collect_orphans(checkpoints: CheckpointStore, state: ExperimentState) -> None:
    """Remove what died half-way: checkpoints of leases that are over and that no record names.

    Args:
        checkpoints: Where they lie.
        state: Of an experiment that has ended, or that was taken over and in which nothing was launched yet.

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
    """The failed trials that the events reopen."""
    for event in events:
        for trial_id in event.trial_ids if isinstance(event, TrialsReopened) else ():
            if state.trials[trial_id].status is TrialStatus.ERRORED:
                yield trial_id


class Experiment:
    """One experiment, before and while this process drives it.

    Args:
        store: Where it lies.
        spec: What it is, by today's parameters; its `seed` counts only for a new experiment.
        space: The parsed `spec.param_space`.
        search_alg: Fresh; this object sets it up.
        scheduler: Fresh; this object sets it up.
        rules: Limits and budgets of this session.
        num_samples: Samples in all; None: without limit.
        resume: Whether it must or must not exist, and what becomes of its ERRORED trials.
        settings: JSON values that say how this session runs it, for whoever carries it on; None: not said.
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
        """Where the experiment stands, without taking it over; None when there is none yet.

        Raises:
            ExperimentExists, ExperimentNotFound: `resume` does not allow that it is there, or not. Final.
            ExperimentMismatch: It was begun with other parameters, or `num_samples` would shrink. Final.
            InvalidParameter: A policy cannot work with these parameters. Final.
            StorageError: The storage cannot be read, or not be written as a new experiment needs it.
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
        """Whether nothing is left to do, by what is asked for now."""
        return self._request.is_fulfilled(state)

    def claim(self) -> tuple[Journal, TrialRunner, list[Event]]:
        """Take the experiment over, creating it if need be, and live its history again. Once, after `look`.

        Returns:
            The journal to append to, the runner at its end, and the events that come first now.

        Raises:
            ExperimentFenced: Another driver took it over at the same moment. Final.
            ExperimentExists: Since the look, another driver began it, and `resume` is "never". Final.
            ExperimentMismatch: Since the look, another driver began or extended it otherwise. Final.
            CorruptJournalError: The journal cannot be read. Final.
            StorageError: The storage refused or did not answer.
        """
        if self._request.resume == "never":
            # since the look, another driver may have begun it, and is not to be fenced
            self._require_expected(Journal.read(self.store))
        writer = f"{socket.gethostname()}/{os.getpid()}"
        journal = self._journal = Journal.open(self.store, writer=writer, seen=self._seen)
        self._seen = None
        with suppress(StorageError):
            # One that is there asked a driver of a history that was discarded: epochs have begun anew since.
            remove_stop_request(self.store, journal.epoch)
        if journal.header is None:
            journal.create_header(self._spec.to_json())
        seed = self._spec.seed
        self._require_same(journal)
        if self._spec.seed != seed:  # since the look, another driver began it with a seed of its own
            self._start_afresh()
        runner = self._runner = self._resumed(journal)
        self._require_growth(runner.state)
        if runner.state.ended is not None:
            self.store.delete(COMPLETION_KEY)  # it is about to be carried on
        if self._settings is not None:
            journal.require_ownership()  # reading took its time, and another driver may be the newest by now
            write_session(self.store, Session(journal.epoch, writer, dict(self._settings)))
        first = self._request.events(runner.state)
        for trial_id in _failed(runner.state, first):
            self.store.delete(error_key(trial_id))  # it runs again, and the journal keeps its error
        return journal, runner, first

    def discard(self) -> bool:
        """Remove an experiment that was claimed and proved to be impossible: it shall not block the name.

        What a crash leaves of it can be carried on, or the name is free: checkpoints, which can only be half
        written, go last.

        Returns:
            False: nothing was removed, as a trial has a checkpoint. That may be hours of work.

        Raises:
            ExperimentFenced: Another driver has taken it over; what that one has found stays. Final.
            StorageError: The storage refused or did not answer; some may be removed.
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
        for folder in checkpoints:  # no others: the name is free, and whoever has it now may be saving
            self.store.delete_prefix(folder)
        return True

    def _resumed(self, journal: Journal) -> TrialRunner:
        """A runner at the end of the journal: from its snapshot, or from the beginning where it has none.

        A snapshot that the policies of today cannot take is none.
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
        """Forget what the policies know."""
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
