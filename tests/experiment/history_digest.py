"""What came of an experiment, as far as a crash must not change anything about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, get_args

import pandas as pd

from tests.experiment.memory_store import MemoryFolder, MemoryStore
from tune_flows.core.decisions import DecisionRecord
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import CheckpointRef, Trial
from tune_flows.experiment.experiment import fold
from tune_flows.results.tune_result import write_tables
from tune_flows.store import RESULTS_KEY, TRIALS_KEY, Journal, read_table

__all__ = ["Story", "story_of", "tables_of"]

# All but those on how the work is cut into leases: a crash ends leases.
_DECISIONS = {kind.__name__ for kind in get_args(DecisionRecord)} - {"TrialLaunched", "TrialContinued"}


@dataclass
class Story:
    """Decisions with the virtual times at which they were taken, and all that is in the two tables."""

    decided: list[tuple[float, object]] = field(default_factory=list)
    """Suggestions, what the scheduler and the runner decided, checkpoints that were dropped."""
    results: list[tuple[str, int, object]] = field(default_factory=list)
    """Trial, iteration and all else of every result in the journal, sorted; one told twice is here twice."""
    trials: list[object] = field(default_factory=list)
    """At the end."""

    def difference(self, other: "Story") -> str | None:
        """The first thing that is different there, in words; None: nothing is."""
        return (
            _first("decision", self.decided, other.decided)
            or _first("result", self.results, other.results)
            or _first("trial", self.trials, other.trials)
        )


def story_of(folder: MemoryFolder, state: ExperimentState | None = None) -> Story:
    """The story that a journal tells; its state at the end need not be folded again if it is known."""
    if state is None:
        state = fold(Journal.read(MemoryStore(folder)))
    story = Story(trials=[_bare(trial) for trial in state.trials.values()])
    stopped: set[str] = set()
    saved: dict[str, int] = {}
    for entry in Journal.read(MemoryStore(folder), whole=True).entries():
        for record in entry.records:
            if record["type"] == "ResultsReported":
                _take_results(story, stopped, record)
            elif record["type"] == "CheckpointSaved":
                saved[record["checkpoint"]["path"]] = record["checkpoint"]["iteration"]
            elif (told := _told(record, stopped, saved)) is not None:
                story.decided.append((entry.at, told))
    story.results.sort(key=itemgetter(0, 1))
    return story


def tables_of(folder: MemoryFolder) -> dict[str, pd.DataFrame]:
    """What `write_tables` makes of a journal: by key, without what a crash may change."""
    store = MemoryStore(MemoryFolder(folder.state))
    write_tables(store)
    trials, results = read_table(store, TRIALS_KEY), read_table(store, RESULTS_KEY)
    trials["checkpoint"] = trials["checkpoint"].map(_owner, na_action="ignore")
    order = ["trial_id", "training_iteration"]
    tables = {TRIALS_KEY: trials, RESULTS_KEY: results.sort_values(order, ignore_index=True)}
    return {key: table.drop(columns="iterations_since_restore") for key, table in tables.items()}


def _bare(trial: Trial) -> Trial:
    """Without what a crash or a stop may change: how often it was launched and from where, what it saved
    for the way."""

    def kept(refs: Sequence[CheckpointRef]) -> tuple[CheckpointRef, ...]:
        return tuple(replace(held, path=_owner(held.path), manifest_sha256="") for held in refs)

    begun = {"lease": 0, "restored_at": 0, "iterations_since_restore": 0}
    own = {"checkpoints": kept(trial.checkpoints), "former": kept(trial.former), "interim": None}
    return replace(trial, **begun, **own)


def _take_results(story: Story, stopped: set[str], record: Mapping[str, Any]) -> None:
    for result in record["results"]:
        story.results.append((record["trial_id"], result["iteration"], result))
        if result["done"]:
            stopped.add(record["trial_id"])


def _told(record: Mapping[str, Any], stopped: set[str], saved: Mapping[str, int]) -> object | None:
    """The decision, if the record is one that counts."""
    if record["type"] == "CheckpointDropped":
        # a folder's name tells the lease and a random number; whose it is stays the same
        return "dropped", record["trial_id"], _owner(record["path"]), saved[record["path"]]
    if record["type"] not in _DECISIONS:
        return None
    if record.get("action") == "STOP":
        if record["trial_id"] in stopped:
            return None  # closes a trial that was stopped before
        stopped.add(record["trial_id"])
    return record


def _owner(path: str) -> str:
    return path.rpartition("/")[0]


def _first(what: str, expected: list[Any], got: list[Any]) -> str | None:
    for number, (one, other) in enumerate(zip(expected, got, strict=False)):
        if one != other:
            return f"{what} {number}: got {other!r}, expected {one!r}"
    lengths = len(expected), len(got)
    return None if lengths[0] == lengths[1] else f"{what}: got {lengths[1]} of them, expected {lengths[0]}"
