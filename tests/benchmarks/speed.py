"""Speed: the same work by tune_flows and by Ray Tune, in turns, as a table of ratios."""

import statistics
from collections.abc import Sequence

from tests.benchmarks.process import rows_of, turns
from tests.benchmarks.work import BY_TRIALS, SCENARIOS, WORK

Pair = tuple[dict[str, float], dict[str, float]]


def print_speed(scenarios: Sequence[str], repeat: int) -> None:
    """Both sides in turns, then the table."""
    pairs: dict[str, list[Pair]] = {name: [] for name in scenarios}
    for _ in turns(repeat, "speed"):
        ours, theirs = _measured("ours", scenarios), _measured("ray_tune", scenarios)
        for name in scenarios:
            pairs[name].append((ours[name], theirs[name]))
    print("call: the whole call, worker processes started. training: from the first step to the last one.\n")
    print(f"{'':72}{'tune_flows':>19}{'Ray Tune':>19}{'ratio':>9}  (range)")
    for name in scenarios:
        for span in ("call", "training"):
            print(_line(name, span, pairs[name]))


def _measured(module: str, scenarios: Sequence[str]) -> dict[str, dict[str, float]]:
    return {row["scenario"]: row for row in rows_of(module, *scenarios)}


def _line(name: str, span: str, runs: list[Pair]) -> str:
    """Both rates, and the ratio pair by pair."""
    work = WORK[name]
    amount, unit = (work.trials, "trials/s") if name in BY_TRIALS else (work.trials * work.steps, "steps/s")
    rates = [statistics.median(amount / run[side][span] for run in runs) for side in (0, 1)]
    ratios = sorted(theirs[span] / ours[span] for ours, theirs in runs)
    figures = "".join(f"{rate:>11,.{1 if rate < 100 else 0}f} {unit}" for rate in rates)
    spread = f"{ratios[0]:,.1f} to {ratios[-1]:,.1f}"
    return f"{SCENARIOS[name]:62}{span:10}{figures}{statistics.median(ratios):>8,.1f}x  ({spread})"
