"""Writes snapshots in the background, as often as is worth their cost.

The cost of a snapshot grows with the number of trials, that of a replay with the records since the snapshot.
A snapshot is written after at least 1.5 records per trial. So the total cost of all snapshots is proportional
to the number of records, and the length of a replay to the number of trials. Most trials have ended and no
longer change, so the encoded text of each trial is cached until the trial changes.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Any

from tune_flows.core.errors import PolicyError, StorageError
from tune_flows.core.events import ResultsReported
from tune_flows.core.trial import Trial
from tune_flows.runner.runner import RunnerSnapshot, Step, TrialRunner
from tune_flows.store import Journal
from tune_flows.store.envelope import EncodedJson, encode_json

__all__ = ["Snapshotter"]

_PER_TRIAL = 1.5
"""Minimum number of records and results per trial between two snapshots."""
_log = logging.getLogger(__name__)


class Snapshotter:
    """Decides when the journal gets a snapshot, and writes it on a thread while the loop continues.

    Args:
        journal: The journal that the loop appends to.
        least: Minimum number of records and results between two snapshots; higher with many trials.
    """

    def __init__(self, journal: Journal, *, least: int) -> None:
        self._journal = journal
        self._least = least
        self._since = 0
        self._has_warned = False
        self._writing: asyncio.Task[None] | None = None
        self._encoded: dict[str, tuple[Trial, EncodedJson]] = {}
        """By id, each trial as last encoded, and its encoded text."""

    def after_commit(self, runner: TrialRunner, step: Step, seq: int) -> None:
        """Write a snapshot if one is due, now that `step` is durable as entry `seq`."""
        self._since += sum(
            len(record.results) if isinstance(record, ResultsReported) else 1 for record in step.records
        )
        if self._writing is None and self._since >= max(self._least, _PER_TRIAL * len(runner.state.trials)):
            self._since = 0
            if (snapshot := self._taken(runner)) is not None:
                self._writing = asyncio.create_task(self._write(snapshot, seq))

    async def close(self) -> None:
        """Wait for the snapshot that is being written."""
        if self._writing is not None:
            await self._writing

    def _taken(self, runner: TrialRunner) -> RunnerSnapshot | None:
        """Return a snapshot; None if a policy cannot dump its state (warns once; the journal suffices)."""
        try:
            return runner.snapshot()
        except PolicyError as error:
            if not self._has_warned:
                _log.warning("no snapshot can be taken, a resume will replay more of the journal: %s", error)
            self._has_warned = True
            return None

    async def _write(self, snapshot: RunnerSnapshot, seq: int) -> None:
        try:
            await asyncio.to_thread(lambda: self._journal.write_snapshot(self._content(snapshot), seq=seq))
        except StorageError as error:
            _log.warning("a snapshot could not be written, the journal does without: %s", error)
        finally:
            self._writing = None

    def _content(self, snapshot: RunnerSnapshot) -> dict[str, Any]:
        """Return `snapshot.to_json()`, with each trial as encoded JSON text."""
        state, known = snapshot.state, self._encoded
        changed = {i: trial for i, trial in state.trials.items() if known.get(i, (None,))[0] is not trial}
        content = replace(snapshot, state=replace(state, trials=changed)).to_json()
        forms: dict[str, Any] = content["state"]["trials"]
        known.update((i, (changed[i], EncodedJson(encode_json(form)))) for i, form in forms.items())
        content["state"]["trials"] = {i: known[i][1] for i in state.trials}
        return content
