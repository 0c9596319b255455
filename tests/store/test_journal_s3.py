"""Drivers that take a journal from each other on S3, and write snapshots, while requests fail."""

import random
import threading

from tests.fault_proxy import Fault, fault_proxy
from tune_flows.core.errors import ExperimentFenced
from tune_flows.store import Journal, ObjectStore, StorageAccess

FAULTS = [Fault.LOST_REPLY, Fault.RESET, Fault.SLOW_DOWN, Fault.INTERNAL, Fault.CONFLICT]
QUICK = StorageAccess({"config_kwargs": {"connect_timeout": 1, "read_timeout": 1}})


def ids(journal):
    """All that was ever committed."""
    before = journal.snapshot.content["ids"] if journal.snapshot else []
    return before + [record["id"] for entry in journal.entries() for record in entry.records]


def test_nothing_acknowledged_is_lost_or_doubled(s3, s3_url, monkeypatch):
    rng = random.Random(7)
    drawing = threading.Lock()

    def decide(method, path):
        with drawing:
            return rng.choice(FAULTS) if rng.random() < 0.15 else None

    acknowledged: list[str] = []
    fenced: list[int] = []

    def drive(me, opened):
        journal = Journal.open(ObjectStore(url, access=QUICK), writer=f"driver-{me}")
        journal.create_header({"seed": 1})
        opened.set()
        known = ids(journal)
        try:
            for number in range(15 if me < 3 else 10):
                seq = journal.append([{"id": f"{me}-{number}"}], at=float(number))
                acknowledged.append(f"{me}-{number}")
                known.append(f"{me}-{number}")
                if number % 4 == 3:
                    journal.write_snapshot({"ids": known}, seq=seq)
        except ExperimentFenced:
            fenced.append(me)

    with fault_proxy(s3.endpoint, decide) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        url = f"{s3_url}/tuning/two-drivers"
        drivers: list[threading.Thread] = []
        for me in range(4):
            opened = threading.Event()
            drivers.append(threading.Thread(target=drive, args=(me, opened)))
            drivers[-1].start()
            assert opened.wait(60)
        for driver in drivers:
            driver.join(60)

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    view = Journal.read(ObjectStore(url), whole=True)
    assert view.header == {"seed": 1}
    stored = ids(view)
    shortened = Journal.read(ObjectStore(url))
    assert shortened.snapshot
    assert ids(shortened) == stored
    assert len(stored) == len(set(stored))
    assert set(acknowledged) == set(stored)
    assert [identity for identity in stored if identity.startswith("3-")] == [f"3-{n}" for n in range(10)]
    assert 3 not in fenced


def test_reading_goes_far_ahead_and_finds_the_end(s3_url):
    store = ObjectStore(f"{s3_url}/x")
    journal = Journal.open(store, writer="w")
    journal.create_header({})
    for number in range(60):
        journal.append([{"n": number}], at=0.0)
    again = Journal.open(store, writer="v")
    assert [entry.records[0]["n"] for entry in again.entries() if entry.kind == "data"] == list(range(60))
    assert again.append([{"n": 60}], at=0.0) == 63
