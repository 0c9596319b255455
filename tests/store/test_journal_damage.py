"""Every kind of damage in every position is an error that names the object; nothing starts over silently."""

import gzip
import itertools
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store import Journal, ObjectStore
from tune_flows.store.envelope import encode_envelope

KEYS = ["experiment.json", *(f"log/{seq:012d}.jsonl" for seq in range(1, 7))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Two drivers, four commits, one of them compressed."""
    folder = tmp_path_factory.mktemp("whole") / "experiment"
    store = ObjectStore(str(folder))
    journal = Journal.open(store, writer="first")
    journal.create_header({"seed": 1})
    journal.append([{"n": 1}], at=1.0)
    journal.append([{"n": 2, "text": "x" * 30_000}], at=2.0)
    journal = Journal.open(store, writer="second")
    journal.append([{"n": 3}, {"n": 4}], at=3.0)
    journal.append([{"n": 5}], at=4.0)
    assert store.list() == KEYS
    return folder


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "experiment"))


def read_all(folder):
    return list(Journal.read(ObjectStore(str(folder))).entries())


def stored(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def must_fail(folder, named, match=None):
    before = stored(folder)
    for use in (read_all, lambda folder: Journal.open(ObjectStore(str(folder)), writer="x")):
        with pytest.raises(CorruptJournalError, match=match) as caught:
            use(folder)
        assert named in str(caught.value)
    assert stored(folder) == before, "a failed open must not write"


def unzipped(path):
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def newer(path):
    first, _, rest = unzipped(path).partition(b"\n")
    return json.dumps(json.loads(first) | {"v": 2}).encode() + b"\n" + rest


DAMAGES = {
    "empty": lambda path: b"",
    "half": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "one byte short": lambda path: path.read_bytes()[:-1],
    "one byte more": lambda path: path.read_bytes() + b"x",
    "a line twice": lambda path: unzipped(path) + unzipped(path).splitlines(keepends=True)[-1],
    "other JSON": lambda path: b'{"hello": "world"}\n',
    "a list": lambda path: b"[1, 2]\n",
    "rubbish": lambda path: bytes(range(256)),
    "other kind": lambda path: encode_envelope({"kind": "manifest", "seq": 1}),
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_object_is_named(copy, key, damage):
    (copy / key).write_bytes(DAMAGES[damage](copy / key))
    must_fail(copy, key)


@pytest.mark.parametrize("key", KEYS)
def test_a_newer_format_is_said(copy, key):
    (copy / key).write_bytes(newer(copy / key))
    must_fail(copy, key, "written in format 2, this library reads up to 1")


@pytest.mark.parametrize("key", KEYS[:-1])
def test_a_missing_object_is_named(copy, key):
    (copy / key).unlink()
    must_fail(copy, key, "the object is missing")


def test_a_missing_log_head_is_seen_across_many_objects(copy):
    for key in KEYS[1:-1]:
        (copy / key).unlink()
    must_fail(copy, KEYS[1], "the object is missing")


@pytest.mark.parametrize(("key", "other"), list(itertools.permutations(KEYS[1:], 2)))
def test_an_object_in_the_wrong_place_is_named(copy, key, other):
    (copy / key).write_bytes((copy / other).read_bytes())
    must_fail(copy, key)


@pytest.mark.parametrize("key", KEYS[2:])
def test_an_object_of_another_experiment_is_named(copy, tmp_path, key):
    """A twin with the same numbers, of another writer."""
    store = ObjectStore(str(tmp_path / "twin"))
    journal = Journal.open(store, writer="first")
    journal.create_header({"seed": 1})
    journal.append([{"n": 1}], at=1.0)
    journal.append([{"n": 2}], at=2.0)
    journal = Journal.open(store, writer="second")
    journal.append([{"n": 3}], at=3.0)
    journal.append([{"n": 4}], at=4.0)
    (copy / key).write_bytes((tmp_path / "twin" / key).read_bytes())
    must_fail(copy, "log/", "another (log|experiment)")


def test_the_header_of_another_experiment_is_named(copy, tmp_path):
    store = ObjectStore(str(tmp_path / "twin"))
    Journal.open(store, writer="first").create_header({"seed": 1}, at=1.0)
    (copy / "experiment.json").write_bytes((tmp_path / "twin" / "experiment.json").read_bytes())
    must_fail(copy, "experiment.json", "belongs to another experiment")


def test_rubbish_in_the_next_place_stops_the_driver(store):
    journal = Journal.open(store, writer="x")
    journal.create_header({})
    store.put("log/000000000002.jsonl", b"not ours")
    with pytest.raises(CorruptJournalError, match=r"000000000002\.jsonl"):
        journal.append([{"n": 1}], at=1.0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_changes_history(whole, tmp_path_factory, data):
    """A flip is refused, or (in gzip's own header fields) changes nothing that is read."""
    key = data.draw(st.sampled_from(KEYS))
    content = bytearray((whole / key).read_bytes())
    position = data.draw(st.integers(0, len(content) * 8 - 1))
    content[position // 8] ^= 1 << position % 8
    folder = tmp_path_factory.mktemp("flipped") / "experiment"
    shutil.copytree(whole, folder)
    (folder / key).write_bytes(content)
    refusal, found = "", None
    try:
        found = read_all(folder)
    except CorruptJournalError as error:
        refusal = str(error)
    if found is None:
        assert key in refusal
    else:
        assert found == read_all(whole)
        assert content[:2] == b"\x1f\x8b"
