"""Random damage to a whole experiment: what is read is the truth, or an error names an object.

The truth may end early in one case: the newest entries were deleted, and no snapshot stands after them.
"""

import gzip
import shutil
import zlib
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tune_flows.core.errors import CorruptJournalError, StorageError
from tune_flows.store import CheckpointStore, Journal, ObjectStore
from tune_flows.store.envelope import decode_envelope, encode_envelope

FOLDERS = count()
FILES = {"model": b"weights" * 40, "deep/er/state.json": b'{"n": 3}', "none": b"", "also": b"weights" * 40}
LOG = [None, 1, 2, 3, 4, None, 5, 6, 7]
"""What each entry commits; None: a fence."""
SNAPSHOT_AFTER = (2, 6)


def build(folder, seed):
    """Two drivers, commits of both sizes, two snapshots, and two checkpoints."""
    store = ObjectStore(str(folder))
    for number in LOG:
        if number is None:
            journal = Journal.open(store, writer="driver")
            journal.create_header({"seed": seed}, at=float(seed))
            continue
        filler = {"x": "y" * 20_000} if number % 3 == 0 else {}
        seq = journal.append([{"n": number, "seed": seed} | filler], at=1.0)
        if number in SNAPSHOT_AFTER:
            journal.write_snapshot({"numbers": list(range(1, number + 1)), "seed": seed, **filler}, seq=seq)
    source = folder.parent / f"source-{seed}"
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content + b"%d" % seed)
    checkpoints = CheckpointStore(store.url)
    return [checkpoints.save("trial", number, source, lease=number) for number in (1, 2)]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "ours"
    refs = build(folder, 1)
    return folder, refs, sorted(ObjectStore(str(folder)).list())


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """Another experiment, made alike: the source of foreign objects."""
    folder = tmp_path_factory.mktemp("fuzz") / "twin"
    build(folder, 2)
    return {key: Path(folder, key).read_bytes() for key in sorted(ObjectStore(str(folder)).list())}


def newer(data):
    """The same document in the next version of the format, whole."""
    head, body = decode_envelope(data, where="")
    return encode_envelope({name: value for name, value in head.items() if name != "sha256"} | {"v": 2}, body)


def flipped(data, at):
    position = int(at * len(data) * 8)
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


DAMAGE = st.one_of(
    st.tuples(st.just("missing"), st.just(0.0)),
    st.tuples(st.just("newer"), st.just(0.0)),
    st.tuples(st.just("foreign"), st.just(0.0)),
    st.tuples(
        st.sampled_from(["truncated", "flipped", "longer", "swapped"]), st.floats(0.0, 1.0, exclude_max=True)
    ),
    st.tuples(st.just("rubbish"), st.binary(max_size=40)),
)
DAMAGES = st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), DAMAGE), min_size=1, max_size=3)


def spoil(folder, keys, twin, damages):
    """Do the damage; the keys of what was deleted."""
    gone = set()
    for where, (kind, how) in damages:
        key = keys[int(where * len(keys))]
        path = folder / key
        data = path.read_bytes() if path.exists() else b""
        if kind == "missing":
            path.unlink(missing_ok=True)
            gone.add(key)
            continue
        if kind == "newer":
            with suppress(CorruptJournalError):  # files of checkpoints are no documents
                data = newer(data)
        elif kind == "foreign":
            data = twin.get(key, b"of nobody")
        elif kind == "truncated":
            data = data[: int(how * len(data))]
        elif kind == "flipped" and data:
            data = flipped(data, how)
        elif kind == "longer":
            data += data[int(how * len(data)) :] or b"x"
        elif kind == "swapped":
            other = folder / keys[int(how * len(keys))]
            data = other.read_bytes() if other.exists() else b""
        elif kind == "rubbish":
            data = how
        path.write_bytes(data)
        gone.discard(key)
    return gone


def history(journal):
    """Header, and all numbers that were ever committed."""
    seeds, found = [], []
    if journal.snapshot:
        seeds.append(journal.snapshot.content["seed"])
        found += journal.snapshot.content["numbers"]
    for entry in journal.entries():
        seeds += [record["seed"] for record in entry.records]
        found += [record["n"] for record in entry.records]
    assert set(seeds) <= {1}, "all that was read to the end is ours"
    return journal.header, found


def truth(keys, gone):
    """What was committed and not cut off without a trace: the newest entries, deleted one after the other."""
    entries = [key for key in keys if key.startswith("log/")]
    while entries and entries[-1] in gone:
        entries.pop()
    return [number for number in LOG[: len(entries)] if number]


def check(use, keys, gone):
    """The truth or a named object; whether it was the truth."""
    refusal, read = "", None
    try:
        read = use()
    except CorruptJournalError as error:
        refusal = str(error)
    if read is None:
        assert any(key in refusal for key in keys)
        return False
    header, found = read
    assert found == truth(keys, gone)
    assert header == {"seed": 1} or not found
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages=DAMAGES)
@example(damages=[(0.0, ("foreign", 0.0))])
def test_a_damaged_journal_tells_the_truth_or_says_where(ours, twin, damages, tmp_path_factory):
    whole, _, every_key = ours
    keys = [key for key in every_key if not key.startswith("ckpt/")]
    keys.sort(key=lambda key: (key.startswith("log/"), key))
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{next(FOLDERS)}"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("ckpt"))
    gone = spoil(folder, keys, twin, damages)
    store = ObjectStore(str(folder))
    before = {key: store.get(key) for key in store.list()}

    check(lambda: history(Journal.read(store, whole=True)), keys, gone)
    check(lambda: history(Journal.read(store)), keys, gone)
    assert {key: store.get(key) for key in store.list()} == before

    journal = None

    def opened():
        nonlocal journal
        journal = Journal.open(store, writer="third")
        return history(journal)

    if not check(opened, keys, gone):
        assert {key: store.get(key) for key in store.list()} == before, "a failed open must not write"
    elif journal is not None and journal.header is not None:
        journal.append([{"n": 99, "seed": 1}], at=2.0)
        assert history(Journal.read(store))[1][-1] == 99
    shutil.rmtree(folder)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages=DAMAGES)
def test_a_damaged_checkpoint_comes_back_as_it_was_or_not_at_all(ours, twin, damages, tmp_path_factory):
    whole, refs, every_key = ours
    keys = [key for key in every_key if key.startswith("ckpt/")]
    spare = [data for key, data in twin.items() if key.startswith("ckpt/")]
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{next(FOLDERS)}"
    shutil.copytree(whole / "ckpt", folder / "experiment" / "ckpt")
    spoil(folder / "experiment", keys, dict(zip(keys, spare, strict=True)), damages)
    checkpoints = CheckpointStore(str(folder / "experiment"))
    saved = {name: content + b"1" for name, content in FILES.items()}
    for number, ref in enumerate(refs):
        target = folder / f"target-{number}"
        refusal = ""
        try:
            checkpoints.restore(ref, target)
        except StorageError as error:
            refusal = str(error)
        files = (path for path in target.rglob("*") if path.is_file())
        found = {path.relative_to(target).as_posix(): path.read_bytes() for path in files}
        if refusal:
            assert ref["path"] in refusal
            assert found.items() <= saved.items()
        else:
            assert found == saved
    shutil.rmtree(folder)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_at_all_are_an_error_and_nothing_else(data, zipped):
    data = gzip.compress(data) if zipped else data
    with pytest.raises(CorruptJournalError, match="here"):
        decode_envelope(data, where="here")


@given(st.data())
def test_a_torn_gzip_is_an_error_at_every_byte(data):
    document = encode_envelope({"kind": "data"}, b'{"x": "%s"}\n' % (b"y" * 40_000), compress=True)
    with pytest.raises(CorruptJournalError, match="here"):
        decode_envelope(document[: data.draw(st.integers(0, len(document) - 1))], where="here")
    with suppress(zlib.error):
        assert decode_envelope(document, where="here")[0]["kind"] == "data"
