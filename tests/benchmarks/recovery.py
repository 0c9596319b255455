"""From a killed actor to the next step of its trial: ours beside Ray Tune, in turns."""

import tempfile
from statistics import median

from tests.benchmarks.process import rows_of, turns
from tests.benchmarks.table import print_table, span

KILLS = 6
ABOUT = """\
Recovery: seconds from the SIGKILL of a trial's actor to the first step of its new one. Expected: not slower.
  One trial of 50 ms steps, a checkpoint every 5 of them; both sides try again at once.
"""


def print_recovery(repeat: int) -> None:
    """Both sides in turns, each in a fresh process, then the table."""
    gaps: dict[str, list[float]] = {"recovery_ours": [], "recovery_ray": []}
    ratios: list[float] = []
    for _ in turns(repeat, "recovery"):
        medians = [_measured(side, gaps[side]) for side in gaps]
        ratios.append(medians[1] / medians[0])
    print(ABOUT)
    rows = [
        (label, str(len(gaps[side])), f"{median(gaps[side]):.2f}", f"({span(gaps[side], '.2f')})")
        for label, side in (("tune_flows", "recovery_ours"), ("Ray Tune", "recovery_ray"))
    ]
    print_table(("", "kills", "median s", "(range)"), rows)
    print(f"ratio of the medians, by turn: {median(ratios):.1f}x  ({span(ratios, '.1f')})")


def _measured(side: str, gaps: list[float]) -> float:
    """The median of one turn; its gaps are added to `gaps`."""
    with tempfile.TemporaryDirectory() as folder:
        (row,) = rows_of("call", side, "recover", str(KILLS), folder)
    gaps += row["gaps"]
    return median(row["gaps"])
