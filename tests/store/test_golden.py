"""Journals written once by each format version replay forever."""

import shutil
from pathlib import Path

import pytest

from tests.store.golden.generate import COMMITS, HEADER, SNAPSHOTS, generate
from tune_flows.store import Journal, ObjectStore
from tune_flows.store.envelope import FORMAT_VERSION

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(folder.name for folder in GOLDEN.glob("v*"))
WITH_SNAPSHOTS = [name for name in NAMES if name.endswith("-snapshots")]
SHAPE = [
    (1, 1, "fence", 1_800_000_000.0, []),
    (2, 1, "data", 1_800_000_001.5, COMMITS[0]),
    (3, 1, "data", 1_800_000_002.5, COMMITS[1]),
    (4, 2, "fence", 1_800_000_010.0, []),
    (5, 2, "data", 1_800_000_011.5, COMMITS[2]),
    (6, 2, "data", 1_800_000_012.5, COMMITS[3]),
]


def shape(journal):
    return [(entry.seq, entry.epoch, entry.kind, entry.at, entry.records) for entry in journal.entries()]


def replayed(folder):
    journal = Journal.read(ObjectStore(str(folder)), whole=True)
    assert journal.header == HEADER
    return shape(journal)


def require_snapshot(folder, seq):
    journal = Journal.read(ObjectStore(str(folder)))
    snapshot = journal.snapshot
    assert (snapshot.seq, snapshot.epoch, snapshot.content) == (seq, SHAPE[seq - 1][1], SNAPSHOTS[seq])
    assert snapshot.at == SHAPE[seq - 1][3] + 0.25
    assert shape(journal) == SHAPE[seq:]


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_journal_replays(name):
    assert replayed(GOLDEN / name) == SHAPE


@pytest.mark.parametrize("name", WITH_SNAPSHOTS)
def test_a_golden_snapshot_stands_for_what_it_stood_for(name, tmp_path):
    shutil.copytree(GOLDEN / name, tmp_path / "copy")
    require_snapshot(tmp_path / "copy", 5)
    (tmp_path / "copy" / "snap" / "000000000005.json").unlink()
    require_snapshot(tmp_path / "copy", 3)


def test_the_present_format_has_golden_journals():
    assert {f"v{FORMAT_VERSION}", f"v{FORMAT_VERSION}-snapshots"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_journal_can_be_carried_on(name, tmp_path):
    shutil.copytree(GOLDEN / name, tmp_path / "copy")
    journal = Journal.open(ObjectStore(str(tmp_path / "copy")), writer="now")
    assert journal.epoch == 3
    assert journal.append([{"n": 1}], at=1_900_000_000.0) == 8


def test_the_generator_still_makes_this_history(tmp_path):
    generate(tmp_path / "new", snapshots=True)
    assert replayed(tmp_path / "new") == SHAPE
    require_snapshot(tmp_path / "new", 5)
