"""Writes golden experiments: whole histories, with every kind of record.

Run `python -m tests.experiment.golden.generate NAME` when records have grown, commit the folder `NAME`
that it makes, and never change that again: every later version must replay it. A file holds the objects of
one experiment by key, and what came of it.
"""

import asyncio
import json
import logging
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.experiment.test_stopping import StopAfter
from tune_flows.core.codec import state_to_json
from tune_flows.core.errors import InfrastructureError, TrainableError
from tune_flows.core.rules import Rules

HERE = Path(__file__).parent
KINDS: dict[str, Any] = {
    "fifo": None,
    "asha": {"type": "asha", "max_t": 9, "reduction_factor": 3},
    "hyperband": {"type": "hyperband", "max_t": 4, "reduction_factor": 2},
    "pbt": {"type": "pbt", "perturbation_interval": 2, "seed": 11},
}


def fault(trial_id: str, lease: int, iteration: int) -> Exception | None:
    """One trial fails for good, another one loses its first worker."""
    if trial_id == "trial-00001" and iteration == 2:
        return TrainableError("boom\nTraceback: golden")
    return InfrastructureError("node lost") if (trial_id, lease, iteration) == ("trial-00002", 1, 3) else None


def shop(url: str, kind: str) -> SimulatedExperiment:
    """The experiment as it is begun."""
    rules = Rules(max_infra_failures=2, num_to_keep=1)
    return SimulatedExperiment(
        url, KINDS[kind], num_samples=4, stop={"training_iteration": 4}, rules=rules, fault=fault
    )


def live(begun: SimulatedExperiment) -> Any:
    """What happens to it: a crash, the end of its time, more time, a stop, its end, more of everything."""
    begun.run_and_die(9, durable=True)
    replace(begun, rules=replace(begun.rules, time_budget_s=3.0)).run()
    stopped = StopAfter(2)
    experiment = begun.experiment()
    experiment.look()
    stopped.driver = replace(begun, observers=[stopped]).driver(experiment)
    asyncio.run(stopped.driver.run())
    begun.run()
    longer = replace(begun, num_samples=5, stop={"training_iteration": 6})
    longer.run()
    return replace(longer, resume="restart_errored", fault=None).run()


def generate(folder: Path) -> None:
    """One file for each kind of scheduler."""
    socket.gethostname = lambda: "golden"
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as place:
            begun = shop(f"{place}/experiment", kind)
            state = live(begun)
            log = {
                str(path.relative_to(begun.url)): path.read_text()
                for path in sorted(Path(begun.url).rglob("*.json*"))
                if path.parent.name != "snap"
            }
        content = {"objects": log, "state": state_to_json(state)}
        folder.mkdir(exist_ok=True)
        (folder / f"{kind}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig()
    generate(HERE / sys.argv[1])
