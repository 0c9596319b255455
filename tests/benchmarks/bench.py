"""`make bench`: what tune_flows costs, beside Ray Tune where that has the same, in turns on this machine.

    python tests/benchmarks/bench.py [--repeat N] [WHAT ...]

Nothing is asserted: a figure of one machine is no bound for another. The ratio of two sides,
measured in turns in one run, is what can be quoted.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.commit import print_commit
from tests.benchmarks.cost import print_cost
from tests.benchmarks.recovery import print_recovery
from tests.benchmarks.resume import print_resume
from tests.benchmarks.speed import print_speed
from tests.benchmarks.work import SCENARIOS

SECTIONS = {
    "speed": "the scenarios below, beside Ray Tune; about 3 minutes a turn",
    "commit": "what commits take from training at 100 results/s; about 3 minutes a turn",
    "cost": "requests, bytes and CPU time from 100 to 10,000 trials; 5 to 10 minutes, once",
    "recovery": "from a killed actor to the next step of its trial, beside Ray Tune; about 1 minute a turn",
    "resume": "10,000 trials of 20 results, beside Ray Tune; about 5 minutes and 2 minutes a turn",
}


def main() -> None:
    told = [f"  {name:12}{what}" for name, what in (SECTIONS | SCENARIOS).items()]
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="WHAT is one of\n" + "\n".join(told),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", metavar="WHAT", help="what to measure; default: all sections")
    parser.add_argument(
        "--repeat", type=int, default=3, help="how often each side runs, in turns (default: 3)"
    )
    arguments = parser.parse_args()
    what = arguments.what or list(SECTIONS)
    if unknown := set(what) - set(SECTIONS) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SECTIONS | SCENARIOS)}")
    scenarios = [name for name in SCENARIOS if "speed" in what or name in what]
    sections = {
        "speed": lambda: print_speed(scenarios, arguments.repeat),
        "commit": lambda: print_commit(arguments.repeat),
        "cost": print_cost,
        "recovery": lambda: print_recovery(arguments.repeat),
        "resume": lambda: print_resume(arguments.repeat),
    }
    for name, section in sections.items():
        if name in what or (name == "speed" and scenarios):
            section()
            print(flush=True)


if __name__ == "__main__":
    main()
