"""Writes the golden journals of the present format that do not lie beside this file yet.

Run `python -m tests.store.golden.generate` once for each format version, commit what it makes, and never
change that again: it must replay forever.
"""

from pathlib import Path

from tune_flows.store import Journal, ObjectStore
from tune_flows.store.envelope import FORMAT_VERSION

HERE = Path(__file__).parent
HEADER = {"name": "golden", "space": {"lr": {"type": "loguniform", "lower": 1e-05, "upper": 0.1}}, "seed": 7}
COMMITS = [
    [{"type": "suggested", "trial": "00000", "config": {"lr": 0.0123456789, "layers": 2}}],
    [],
    [{"type": "text", "value": 'Zürich\n\u2028 \\ "', "big": 2**70, "small": -1e-300, "none": None}],
    [{"type": "result", "trial": "00000", "iteration": n, "loss": 1.0 / n} for n in range(1, 601)],
]
SNAPSHOTS = {
    3: {"trials": {"00000": {"config": {"lr": 0.0123456789, "layers": 2}}}, "name": "Zürich"},
    5: {"trials": {f"{n:05d}": {"loss": 1.0 / n, "rung": n % 3} for n in range(1, 601)}, "empty": [{}, []]},
}
"""By the entry they stand after; the second one is large enough to be compressed."""


def generate(folder: Path, *, snapshots: bool = False) -> None:
    """Two drivers; the last commit is large enough to be compressed."""
    store = ObjectStore(str(folder))
    journal = Journal.open(store, writer="host-1:100", at=1_800_000_000.0)
    journal.create_header(HEADER, at=1_800_000_000.25)

    def commit(number: int, at: float) -> None:
        seq = journal.append(COMMITS[number], at=at)
        if snapshots and seq in SNAPSHOTS:
            journal.write_snapshot(SNAPSHOTS[seq], seq=seq, at=at + 0.25)

    commit(0, 1_800_000_001.5)
    commit(1, 1_800_000_002.5)
    journal = Journal.open(store, writer="host-2:200", at=1_800_000_010.0)
    commit(2, 1_800_000_011.5)
    commit(3, 1_800_000_012.5)


if __name__ == "__main__":
    for name, snapshots in {f"v{FORMAT_VERSION}": False, f"v{FORMAT_VERSION}-snapshots": True}.items():
        if not (HERE / name).exists():
            generate(HERE / name, snapshots=snapshots)
            print(f"made {name}")
