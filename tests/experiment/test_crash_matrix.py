"""A killed and resumed experiment decides as one that was never killed, wherever it was killed.

Identical are every suggestion and decision with its virtual time, the tables of trials and of results with
all their columns, and which checkpoints are kept.
"""

import random
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from tests.experiment.crashes import die, placed, record
from tests.experiment.history_digest import tables_of
from tests.experiment.memory_store import MemoryFolder, MemoryStore, RemoteFolder, checkpoints_in
from tests.experiment.test_stepwise import SCHEDULERS
from tune_flows.core.rules import Rules
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.experiment.experiment import history
from tune_flows.schedulers import ASHAScheduler
from tune_flows.search import RandomSearch
from tune_flows.store import Journal
from tune_flows.store.entries import StoredEntry
from tune_flows.trainable import Checkpoint

ASHA = {"type": "asha", "max_t": 9, "reduction_factor": 3}
SIXTY = {"scheduler": ASHA, "num_samples": 60, "slots": 4, "snapshot_every": 40}
SAVING = {
    "scheduler": ASHA,
    "num_samples": 8,
    "slots": 3,
    "snapshot_every": 20,
    "checkpoint_frequency": 2,
    "rules": Rules(num_to_keep=2, checkpoint_at_end=True),
}


@pytest.fixture(scope="module")
def sixty():
    return record(**SIXTY)


@pytest.mark.slow
def test_a_crash_at_every_write(sixty):
    tables = tables_of(MemoryFolder(sixty.writes))
    assert len(sixty.story.results) > 200
    assert sum(key.startswith("snap/") for key, _ in sixty.writes) > 10
    for number in range(len(sixty.writes) + 1):
        folder = sixty.check_crash(number)
        if number % 25 == 0:  # all that is in the tables is compared each time, but by way of the journal
            for key, table in tables_of(folder).items():
                pd.testing.assert_frame_equal(table, tables[key], obj=f"{sixty.where(number)}: {key}")


@pytest.mark.parametrize("durable", [False, True], ids=["before", "inside"])
def test_a_real_crash_leaves_the_first_writes(sixty, durable):
    def durable_history(folder):
        return list(history(Journal.read(MemoryStore(MemoryFolder(folder.state)), whole=True)))

    for number in range(1, len(sixty.writes), 37):
        folder = MemoryFolder(dies_at=number, durable=durable)
        assert die(sixty.shop, folder)
        # snapshots are written by a thread, so their places vary: count the entries of the log
        entries = sum(key.startswith("log/") for key, _ in folder.writes)
        same = MemoryFolder(sixty.writes[: sixty.log[entries - 1]] if entries else [])
        assert durable_history(folder) == durable_history(same)
        sixty.check(MemoryFolder(folder.state), f"killed at write {number}")


@pytest.mark.parametrize("before_the_end", [1, 20, 40])
def test_a_crash_where_the_log_is_packed(before_the_end):
    recorded = record(**SIXTY | {"num_samples": 100, "snapshot_every": 10**9})
    folder = RemoteFolder(dies_at=len(recorded.writes) - before_the_end)
    assert die(recorded.shop, folder)
    next_folder = RemoteFolder(folder.state)
    assert next_folder.list("pack")
    recorded.check(next_folder, f"killed at write {before_the_end} before the end")
    assert next_folder.reads_of("pack")


@pytest.mark.slow
@pytest.mark.parametrize("group", range(10))
def test_two_crashes_in_a_row(group):
    recorded = record(**SIXTY, search_alg={"type": "random", "seed": group})
    second = 0
    for seed in range(20):
        dice = random.Random(f"{group}/{seed}")
        first = dice.randrange(len(recorded.writes) - 2)
        folder = MemoryFolder(
            recorded.writes[:first],
            dies_at=dice.randint(1, len(recorded.writes) - first),
            durable=dice.random() < 0.5,
        )
        second += die(recorded.shop, folder)
        what = f"{recorded.where(first)}, then after {len(folder.writes)} more (group {group}, seed {seed})"
        recorded.check(MemoryFolder(folder.state), what)
    assert second >= 15


@pytest.mark.parametrize("every", [1, 2, 7])
def test_lost_replies_change_nothing(sixty, every):
    folder = MemoryFolder(loses_reply=lambda number: number % every == 0)
    sixty.check(folder, f"the reply to every write number {every} lost")
    assert folder.lost_replies == len(folder.writes) // every >= len(sixty.log) // every


@pytest.mark.slow
def test_a_crash_at_every_write_of_an_experiment_with_checkpoints(tmp_path):
    recorded = record(**SAVING)
    assert any(key.startswith("ckpt/") and data is None for key, data in recorded.writes)
    ended = recorded.log[-1]
    for number in range(len(recorded.writes) + 1):
        folder = recorded.check_crash(number)
        if number < ended:  # else no driver comes any more that could tidy up
            check_checkpoints(recorded.shop, folder, tmp_path / str(number))


def check_checkpoints(shop, folder, target):
    store, checkpoints = MemoryStore(folder), checkpoints_in(folder)
    state = placed(shop, folder).run()
    held = {checkpoint.path for trial in state.trials.values() for checkpoint in trial.checkpoints}
    assert set(store.folders("ckpt", depth=2)) == held
    for trial in state.trials.values():
        for checkpoint in trial.checkpoints:
            restored = target / checkpoint.path
            checkpoints.restore(asdict(checkpoint), restored)
            height = Checkpoint.from_directory(restored).to_dict()["height"]
            assert height == pytest.approx(checkpoint.iteration * trial.config["x"])


@pytest.mark.parametrize(
    ("kind", "search"),
    [(kind, "random") for kind in SCHEDULERS] + [(kind, "optuna") for kind in ("asha", "hyperband", "pbt")],
)
def test_crashes_with_every_scheduler(kind, search):
    search_alg = {"type": search, "seed": 5} | ({"n_startup_trials": 2} if search == "optuna" else {})
    recorded = record(
        scheduler=SCHEDULERS[kind], search_alg=search_alg, num_samples=12, slots=3, snapshot_every=25
    )
    for number in recorded.log[3 :: len(recorded.log) // 7]:
        recorded.check_crash(number)


def test_crashes_while_results_are_gathered():
    recorded = record(**SIXTY, executor=partial(SimulatedExecutor, batch_steps=3))
    for number in recorded.log[::15]:
        recorded.check_crash(number)


class Forgetful(ASHAScheduler):
    """Loses the scores of before a crash."""

    type: str = "forgetful"

    def load_state(self, state):
        super().load_state(state)
        self._recorded = [[[] for _ in rungs] for rungs in self._recorded]


class Repeating(RandomSearch):
    """Suggests after a crash what it suggested before."""

    type: str = "repeating"

    def load_state(self, state):
        pass


class Late(SimulatedExecutor):
    """Takes the steps that were under way from their beginning."""

    def __init__(self, *args, under_way, **options):
        super().__init__(*args, **options)


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ({"scheduler": Forgetful(max_t=9, reduction_factor=3)}, r"decision \d+: got .*"),
        ({"search_alg": Repeating(seed=5)}, r"decision \d+: got .*'TrialSuggested'.*"),
        ({"executor": Late}, r"decision \d+: got .*"),
    ],
    ids=["scheduler", "search", "time"],
)
def test_a_broken_resume_is_noticed(broken, what):
    recorded = record(**SIXTY | broken)
    number = recorded.log[100]
    with pytest.raises(AssertionError, match=rf"crash after write {number} of \d+ \(log/.*\): {what}"):
        recorded.check_crash(number)


def test_a_lost_result_is_noticed(sixty):
    writes = list(sixty.writes[: sixty.log[200]])
    for place, (key, data) in enumerate(writes):
        if key.startswith("log/"):
            entry = StoredEntry.decode(data, seq=int(Path(key).stem), where=key)
            if [record["type"] for record in entry.entry().records] == ["ResultsReported"]:
                writes[place] = key, replace(entry, count=0, body=b"").encode()
                break
    log = MemoryFolder(write for write in writes if not write[0].startswith("snap/"))
    with pytest.raises(AssertionError, match=r"result \d+: got \('trial-\d+', \d+, .* expected \('trial-"):
        sixty.check(log, "a lost result")
