"""`tune-flows` with real Ray and Prefect: an experiment is run, stopped from outside, and carried on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.life import ROOT, Life
from tests.integration.observe import records
from tune_flows import TuneResult
from tune_flows.cli import main
from tune_flows.core.events import DriverStopped
from tune_flows.store import ObjectStore

pytestmark = pytest.mark.integration


@pytest.fixture
def life(
    tmp_path: Path, name: str, prefect_api: SyncPrefectClient, prefect_environment: dict[str, str]
) -> Life:
    return Life(tmp_path, name, prefect_api, prefect_environment)


@contextmanager
def command(life: Life, *arguments: str, log: IO[Any] | int = subprocess.PIPE) -> Iterator[Any]:
    with subprocess.Popen(
        [sys.executable, "-m", "tune_flows", *arguments],
        cwd=ROOT,
        env=os.environ | life.environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_run_stop_and_resume(life: Life, ray_address: str):
    spec = life.folder / "spec.json"
    begun = life.parameters(ray_address=ray_address, checkpoint_config={"num_to_keep": 2}, num_samples=9)
    spec.write_text(json.dumps(begun))
    with life.log.open("w") as log, command(life, "run", str(spec), "--num-samples", "2", log=log) as run:
        life.until_held()
        with command(life, "stop", life.url) as stop:
            life.let_step_end()
            _, said = stop.communicate(timeout=60)
        assert stop.returncode == 0, said
        assert "Stopped (" in said
        run.wait(timeout=60)
    assert run.returncode == 3
    assert "Stopped on request" in (life.until_state("Cancelled").state.message or "")
    life.check_saved()
    stopped = records(life.url)[-1]
    assert isinstance(stopped, DriverStopped)
    assert "asked for it" in stopped.reason
    assert ObjectStore(life.url).list("stop") == []

    with command(life, "resume", life.url, "--json") as resume:
        out, said = resume.communicate(timeout=90)
    assert resume.returncode == 0, said
    result = TuneResult.model_validate_json(out)
    assert result.best_value == 7.0
    life.check_whole(result)
    assert life.run().parameters["checkpoint_config"]["num_to_keep"] == 2


def test_what_is_refused_is_one_line_without_a_traceback(life: Life):
    spec = life.folder / "spec.json"
    spec.write_text(json.dumps(life.parameters()))
    with command(life, "run", str(spec), "--num-samples", "0") as run:
        out, said = run.communicate(timeout=60)
    assert (run.returncode, out) == (2, "")
    assert "tune-flows: error: --num-samples: num_samples: got 0" in said
    assert "Traceback" not in said


REFUSED = {
    "a type": (["--set", "max_concurrent_trials=x"], "--set max_concurrent_trials: max_concurrent_trials: "),
    "a name": (["--set", "schedular=asha"], "schedular: tune has no such parameter. Did you mean"),
    "a key of the file": ([], "spec.json: metric: got None"),
    "a part of a key": (["--set", "scheduler.max_time=9"], "--set scheduler.max_time: scheduler"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_named_with_its_source(life: Life, case: str, capsys: pytest.CaptureFixture[str]):
    arguments, expected = REFUSED[case]
    spec = life.folder / "spec.json"
    spec.write_text(json.dumps(life.parameters(metric=None, scheduler="asha")))
    assert main(["run", str(spec), *arguments]) == 2
    assert expected in capsys.readouterr().err
