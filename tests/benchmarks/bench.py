"""`make bench`: the same work by tune_flows and by Ray Tune, in turns on this machine, as a table of ratios.

    python tests/benchmarks/bench.py [--repeat N] [SCENARIO ...]

Nothing is asserted: a figure of one machine is no bound for another. The ratio of the two sides, measured in
turns in one run, is what can be quoted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.work import BY_TRIALS, SCENARIOS, WORK  # noqa: E402


def measured(module: str, scenarios: list[str]) -> dict[str, dict[str, float]]:
    """Seconds of each scenario, measured in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *scenarios],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"{module} failed:\n{run.stderr}")
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"scenario"')]
    return {row["scenario"]: row for row in rows}


def row(name: str, span: str, runs: list[tuple[dict[str, float], dict[str, float]]]) -> str:
    """One line of the table: both rates, and the ratio pair by pair."""
    work = WORK[name]
    amount, unit = (work.trials, "trials/s") if name in BY_TRIALS else (work.trials * work.steps, "steps/s")
    rates = [statistics.median(amount / run[side][span] for run in runs) for side in (0, 1)]
    ratios = sorted(theirs[span] / ours[span] for ours, theirs in runs)
    figures = "".join(f"{rate:>11,.{1 if rate < 100 else 0}f} {unit}" for rate in rates)
    spread = f"{ratios[0]:,.1f} to {ratios[-1]:,.1f}"
    return f"{SCENARIOS[name]:62}{span:10}{figures}{statistics.median(ratios):>8,.1f}x  ({spread})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all"
    )
    parser.add_argument("--repeat", type=int, default=3, help="how often each side runs, in turns")
    arguments = parser.parse_args()
    scenarios = arguments.scenarios or list(SCENARIOS)
    if unknown := set(scenarios) - set(SCENARIOS):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; known: {', '.join(SCENARIOS)}")

    pairs: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {name: [] for name in scenarios}
    for turn in range(arguments.repeat):
        print(f"turn {turn + 1} of {arguments.repeat} ...", file=sys.stderr, flush=True)
        ours, theirs = measured("ours", scenarios), measured("ray_tune", scenarios)
        for name in scenarios:
            pairs[name].append((ours[name], theirs[name]))

    print("call: the whole call, worker processes started. training: from the first step to the last one.\n")
    print(f"{'':72}{'tune_flows':>19}{'Ray Tune':>19}{'ratio':>9}  (range)")
    for name in scenarios:
        for span in ("call", "training"):
            print(row(name, span, pairs[name]))


if __name__ == "__main__":
    main()
