"""Two flow processes that run one experiment on S3 at the same time."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.counted import Step, steps_taken
from tests.integration.drive import begin, flow_process
from tests.integration.observe import flow_runs, is_alive, until
from tests.integration.one_history import require_one_history
from tests.s3_server import S3Server
from tune_flows.core.codec import record_from_json
from tune_flows.core.events import ResultsReported
from tune_flows.store import Journal, ObjectStore
from tune_flows.store.control_files import read_session

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

TRIALS = 6
LAST = f"trial-{TRIALS - 1:05d}"


def test_one_finishes_and_the_other_gives_way(
    s3_url: str,
    s3: S3Server,
    tmp_path: Path,
    name: str,
    ray_address: str,
    prefect_environment: dict[str, str],
    prefect_api: SyncPrefectClient,
):
    folder, url = tmp_path / "steps", f"{s3_url}/{name}"
    folder.mkdir()
    both_here, one_left = tmp_path / "both here", tmp_path / "one left"
    parameters: dict[str, Any] = {
        "param_space": {
            "slope": {"type": "uniform", "lower": 0.0, "upper": 1.0},
            "folder": str(folder),
            "pause_s": 0.03,
            "holds": [["*", 3, str(both_here)], [LAST, 6, str(one_left)]],
        },
        "metric": "score",
        "num_samples": TRIALS,
        "stop": {"training_iteration": 9},
        "checkpoint_config": {"checkpoint_frequency": 2},
        "storage_path": s3_url,
        "name": name,
        "ray_address": ray_address,
    }
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    with (
        flow_process(parameters, prefect_environment, logs[0]) as first,
        flow_process(parameters, prefect_environment, logs[1]) as second,
    ):
        drivers = first, second
        for driver in drivers:
            begin(driver)

        def left() -> list[int]:
            return [number for number, driver in enumerate(drivers) if driver.poll() is not None]

        until(lambda: left() or _epochs(url) == [1, 2])
        both_here.touch()
        loser = until(left)[0]
        winner = 1 - loser
        assert "ExperimentFenced" in logs[loser].read_text()
        assert drivers[loser].returncode != 0
        assert drivers[winner].poll() is None, logs[winner].read_text()

        # Workers of the loser are those of another job than the one whose results came last.
        until(lambda: _newest_pids(url))
        until(lambda: not any(map(is_alive, _pids_of_others(url, folder))), within_s=20)
        stored = {path.name for path in (s3.folder / url.removeprefix("s3://")).iterdir()}
        # tables and result are for the one who goes on
        assert stored == {"experiment.json", "session.json", "log", "ckpt"}
        assert (session := read_session(ObjectStore(url))) is not None
        assert session.epoch == 2
        one_left.touch()
        assert drivers[winner].wait(timeout=120) == 0, logs[winner].read_text()

    runs = {run.state_name: run for run in flow_runs(prefect_api, name)}
    assert set(runs) == {"Completed", "Failed"}
    message = str(runs["Failed"].state.message)
    assert "ExperimentFenced" in message
    assert f"/{drivers[winner].pid}/" in message  # host, process, a random part
    state = require_one_history(url)
    assert {trial.iteration for trial in state.trials.values()} == {9}
    assert len(state.trials) == TRIALS


def _epochs(url: str) -> list[int]:
    """Of the drivers that have taken the experiment over so far."""
    entries = Journal.read(ObjectStore(url), whole=True).entries()
    return [entry.epoch for entry in entries if entry.kind == "fence"]


def _newest_pids(url: str) -> set[int]:
    """The workers whose results the driver of the newest epoch has committed."""
    entries = list(Journal.read(ObjectStore(url), whole=True).entries())
    records = [record for entry in entries if entry.epoch == entries[-1].epoch for record in entry.records]
    events = [event for event in map(record_from_json, records) if isinstance(event, ResultsReported)]
    return {result.metrics["pid"] for event in events for result in event.results}


def _pids_of_others(url: str, folder: Path) -> set[int]:
    ours = _newest_pids(url)
    steps: list[Step] = [step for steps in steps_taken(folder).values() for step in steps]
    jobs = {step.job for step in steps if step.pid in ours}
    return {step.pid for step in steps if step.job not in jobs}
