"""kill -9 of the flow process at random moments; TUNE_FLOWS_KILLS says how many, TUNE_FLOWS_SEED which.

Workers leave a line for each step they take, so what was trained twice is known, not only what was told.
"""

import os
import random
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.counted import Step, steps_taken
from tests.integration.drive import begin, flow_process
from tests.integration.observe import is_alive, records, until
from tests.integration.one_history import require_one_history
from tests.s3_server import S3Server
from tune_flows.core.events import DriverStarted
from tune_flows.experiment.experiment import fold
from tune_flows.store import Journal, ObjectStore

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

KILLS = int(os.environ.get("TUNE_FLOWS_KILLS", "5"))
SEED = int(os.environ.get("TUNE_FLOWS_SEED", random.randrange(10**6)))
MOST_RESULTS_BETWEEN = 20


@pytest.mark.timeout(300 + 60 * KILLS)
def test_killed_again_and_again(
    s3_url: str,
    s3: S3Server,
    tmp_path: Path,
    name: str,
    ray_address: str,
    prefect_environment: dict[str, str],
):
    print(f"TUNE_FLOWS_SEED={SEED} TUNE_FLOWS_KILLS={KILLS}")
    moments = random.Random(SEED)
    folder, url, gate = tmp_path / "steps", f"{s3_url}/{name}", tmp_path / "gate"
    stored = str(s3.folder / url.removeprefix("s3://"))  # quicker to read than over HTTP
    trials = 6 * KILLS
    folder.mkdir()
    parameters: dict[str, Any] = {
        "param_space": {
            "slope": {"type": "uniform", "lower": 0.0, "upper": 1.0},
            "folder": str(folder),
            "pause_s": 0.03,
            "holds": [[f"trial-{trials - 1:05d}", 1, str(gate)]],  # none gets to the end before it is killed
        },
        "metric": "score",
        "num_samples": trials,
        "search_alg": {"type": "random", "seed": SEED},
        "scheduler": {"type": "asha", "max_t": 16, "grace_period": 4, "reduction_factor": 2},
        "checkpoint_config": {"checkpoint_frequency": 3, "num_to_keep": 2},
        "storage_path": s3_url,
        "name": name,
        "ray_address": ray_address,
    }
    begins_at = [_Beginnings(stored, folder)]
    held: list[Any] = []
    with ExitStack() as started:

        def load(number: int) -> "subprocess.Popen[str]":
            """The next driver: it is loaded while the one before it runs."""
            log = tmp_path / f"{number}.log"
            return started.enter_context(flow_process(parameters, prefect_environment, log))

        following = load(0)
        for kill in range(KILLS):
            driver = following
            begin(driver)
            following = load(kill + 1)
            _kill(driver, stored, more=moments.randint(1, MOST_RESULTS_BETWEEN), trials=trials)
            pids = {step.pid for steps in steps_taken(folder).values() for step in steps}
            until(lambda pids=pids: not any(map(is_alive, pids)), within_s=60)
            now = records(stored)
            assert now[: len(held)] == held
            held = now
            begins_at.append(_Beginnings(stored, folder))

        gate.touch()
        begin(following)
        assert following.wait(timeout=300) == 0, (tmp_path / f"{KILLS}.log").read_text()

    assert records(url)[: len(held)] == held
    assert sum(isinstance(record, DriverStarted) for record in records(url)) == KILLS + 1
    state = require_one_history(url)
    assert len(state.trials) == trials
    for trial_id, steps in steps_taken(folder).items():
        for session in _sessions(steps):
            begun = session[0].iteration
            assert [step.iteration for step in session] == list(range(begun, begun + len(session)))
            assert begun == max(
                beginning.next_of(trial_id)
                for beginning in begins_at
                if beginning.lines.get(trial_id, 0) <= steps.index(session[0])
            )


class _Beginnings:
    """Where a driver that starts now has to take each trial up: right after its newest checkpoint."""

    def __init__(self, url: str, folder: Path) -> None:
        self.lines = {trial_id: len(steps) for trial_id, steps in steps_taken(folder).items()}
        trials = fold(Journal.read(ObjectStore(url))).trials.values()
        self._saved = {t.trial_id: t.checkpoint.iteration for t in trials if t.checkpoint is not None}

    def next_of(self, trial_id: str) -> int:
        return self._saved.get(trial_id, 0) + 1


def _kill(driver: "subprocess.Popen[str]", url: str, *, more: int, trials: int) -> None:
    """Kill the process once the journal holds so many more results, or only the last trial is left."""
    before = _results_and_ended(url)[0]

    def has_got_on() -> bool:
        assert driver.poll() is None
        results, ended = _results_and_ended(url)
        return results >= before + more or ended == trials - 1

    until(has_got_on)
    driver.send_signal(signal.SIGKILL)
    driver.wait()


def _results_and_ended(url: str) -> tuple[int, int]:
    """How many results the journal holds, and how many trials have ended."""
    trials = fold(Journal.read(ObjectStore(url))).trials.values()
    return sum(trial.iteration for trial in trials), sum(trial.status.is_final for trial in trials)


def _sessions(steps: list[Step]) -> list[list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.session, []).append(step)
    return list(found.values())
