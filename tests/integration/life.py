"""A run of two trials that stand in their fourth step until a gate is opened, for tests of how it ends."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import TaskRunFilter
from prefect.client.schemas.objects import FlowRun

from tests.integration.observe import (
    flow_runs,
    is_alive,
    iterations,
    processes_of,
    records,
    until,
)
from tests.integration.trainables import Gated
from tune_flows import TuneResult, open_experiment, tune
from tune_flows.core.events import CheckpointSaved, DriverStopped, ResultsReported
from tune_flows.experiment.experiment import fold
from tune_flows.store import Journal, ObjectStore
from tune_flows.tasks import at_exit

ROOT = Path(__file__).parents[2]
STEPS = 7
HELD = 4
"""The step that waits for the gate."""
ENDS = "The session ends"
"""What the driver logs when it begins to end in order."""
MAY_DIFFER = ("pid", "restored", "iterations_since_restore", "timestamp", "time_this_iter_s", "time_total_s")
"""What a stop may change in the table of the trials, and what is measured."""


@dataclass(frozen=True)
class Life:
    """One experiment, from outside."""

    folder: Path
    name: str
    api: SyncPrefectClient
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def parameters(self, **changes: Any) -> dict[str, Any]:
        return {
            "trainable": "tests.integration.trainables:Gated",
            "param_space": {"folder": str(self.folder), "gate": str(self.gate), "hold_at": HELD},
            "metric": "score",
            "num_samples": 2,
            "stop": {"training_iteration": STEPS},
            "storage_path": str(self.folder),
            "name": self.name,
            "shutdown_grace_s": 60,
            **changes,
        }

    def arguments(self, call: str, **changes: Any) -> dict[str, Any]:
        """Of `tune`, or of the flow that calls it."""
        parameters = self.parameters(**changes)
        return parameters if call == "tune" else {"parameters": parameters}

    @contextmanager
    def script(self, call: str = "tune", **changes: Any) -> Iterator["subprocess.Popen[str]"]:
        """A process in a session of its own that calls `tune`, as from a terminal; or a flow that does."""
        code = f"import {__name__} as life; life.main(life.{call})"
        with self.log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(self.arguments(call, **changes))],
                cwd=ROOT,
                env=os.environ | self.environment | {"PREFECT_LOGGING_LEVEL": "WARNING"},
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def until_held(self) -> None:
        """Both trials stand in the step that waits; what came before waits with them in the workers."""
        until(lambda: len(list(self.folder.glob("*.held"))) == 2)

    def let_step_end(self) -> None:
        """Let the step that waits end once it is told to: no other step is begun."""
        (self.folder / "yields").touch()

    def run(self) -> FlowRun:
        """The newest flow run."""
        return flow_runs(self.api, self.name)[-1]

    def parent(self) -> FlowRun:
        """The flow run that the newest one is part of."""
        (of,) = self.api.read_task_runs(
            task_run_filter=TaskRunFilter(id={"any_": [self.run().parent_task_run_id]})
        )
        return self.api.read_flow_run(of.flow_run_id)

    def until_state(self, name: str) -> FlowRun:
        """The newest flow run, once it is in this state."""
        until(lambda: self.run().state_name == name)
        return self.run()

    def check_saved(self) -> None:
        """The session ended in order: the held step is done and saved, its workers are gone."""
        whole = records(self.url)
        assert isinstance(whole[-1], DriverStopped)
        done = list(range(1, HELD + 1))
        assert iterations(self.url) == {"trial-00000": done, "trial-00001": done}
        saved = [r for r in whole if isinstance(r, CheckpointSaved)]
        assert sorted((r.trial_id, r.checkpoint.iteration, r.interim) for r in saved) == [
            ("trial-00000", HELD, True),
            ("trial-00001", HELD, True),
        ]
        state = fold(Journal.read(ObjectStore(self.url)))
        assert state.stopped
        assert [trial.status for trial in state.trials.values()] == ["PAUSED", "PAUSED"]
        self.check_gone()

    def check_gone(self, session: int | None = None) -> None:
        """No worker of the run is left, nor a process of its session."""
        reported = [r for r in records(self.url) if isinstance(r, ResultsReported)]
        pids = {result.metrics["pid"] for r in reported for result in r.results}
        until(lambda: not any(map(is_alive, pids)), within_s=10)
        if session is not None:
            until(lambda: not processes_of(session), within_s=10)

    def carry_on(self, restored: int = HELD) -> TuneResult:
        """The same call again ends as an undisturbed run does; trials went on from where they were saved."""
        before = records(self.url)
        self.gate.touch()
        result = tune(**self.parameters(trainable=Gated))
        self.check_whole(result, restored)
        assert records(self.url)[: len(before)] == before
        return result

    def check_whole(self, result: TuneResult, restored: int = HELD) -> None:
        """Every iteration once, with the score that an undisturbed trial has."""
        assert result.ended == "all trials done"
        assert iterations(self.url) == {i: list(range(1, STEPS + 1)) for i in ("trial-00000", "trial-00001")}
        frame = result.dataframe()
        assert (frame["score"] == frame["training_iteration"]).all()
        after = frame[frame["training_iteration"] > HELD]
        assert set(after["restored"]) == {restored}
        assert after["iterations_since_restore"].eq(after["training_iteration"] - restored).all()
        self.check_trials(2)

    def check_trials(self, number: int) -> None:
        """So many trials came out as they do undisturbed."""
        found = rows_of_trials(self.url)
        assert found == {f"trial-{i:05d}": undisturbed(self.api) for i in range(number)}


def rows_of_trials(url: str) -> dict[str, dict[str, Any]]:
    """By trial what must be the same with and without a stop."""
    table = open_experiment(url).trials_dataframe().set_index("trial_id")
    own = [column for column in table if column in MAY_DIFFER or column.startswith("config/")]
    return table.drop(columns=own).astype(object).where(table.notna(), None).to_dict("index")


@cache
def undisturbed(api: SyncPrefectClient) -> dict[str, Any]:
    """The row of a trial whose run nothing has stopped; made once."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder), "undisturbed", api, {})
        life.gate.touch()
        tune(**life.parameters(trainable=Gated, num_samples=1))
        return rows_of_trials(life.url)["trial-00000"]


@flow(name="pipeline")
def pipeline(parameters: dict[str, Any]) -> None:
    """What has tuning as a step."""
    tune(**parameters)


def main(call: Any) -> None:
    """What a script does; a busy server may take its time to hear how it ended."""
    at_exit._ANSWER = httpx.Timeout(60)
    call(**json.loads(sys.argv[1]))
