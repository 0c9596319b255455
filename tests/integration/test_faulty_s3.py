"""Whole runs on an S3 that fails: now and then, and altogether for a while."""

import contextvars
import random
import threading
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.fault_proxy import Fault, fault_proxy
from tests.integration.counted import Counted, steps_taken
from tests.integration.observe import flow_runs, iterations, log_lines, until
from tests.integration.one_history import require_one_history
from tests.s3_server import S3Server
from tune_flows import Checkpoint, CheckpointConfig, tune, uniform
from tune_flows.schedulers import ASHAScheduler
from tune_flows.search import RandomSearch
from tune_flows.store import ObjectStore

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

FAULT_RATE = 0.05
FAULTS = [
    *(Fault.LOST_REPLY, Fault.SLOW_DOWN, Fault.RESET, Fault.STALL, Fault.INTERNAL, Fault.DELAY),
    Fault.TORN_REPLY,
]


class Weather:
    """Spoils one of twenty requests; the journal and the checkpoints have each a series of their own."""

    def __init__(self, seed: int) -> None:
        self.did = {kind: Counter[Fault | None]() for kind in ("log", "ckpt", "other")}
        self._lock = threading.Lock()
        self._draws = {kind: random.Random(f"{seed} {kind}") for kind in self.did}
        self._next = {kind: cycle(FAULTS) for kind in self.did}

    def __call__(self, method: str, path: str) -> Fault | None:
        kind = next((kind for kind in ("log", "ckpt") if f"/{kind}/" in path), "other")
        with self._lock:
            fault = next(self._next[kind]) if self._draws[kind].random() < FAULT_RATE else None
            self.did[kind][fault] += 1
        return fault


def test_one_of_twenty_requests_fails(
    s3_url: str, s3: S3Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, url, weather = tmp_path / "steps", f"{s3_url}/{name}", Weather(seed=93)
    folder.mkdir()
    with fault_proxy(s3.endpoint, weather) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = tune(
            Counted,
            {
                "slope": uniform(0, 1),
                "folder": str(folder),
                "pause_s": 0.02,
                "environment": {"AWS_ENDPOINT_URL": endpoint},
            },
            metric="score",
            num_samples=16,
            search_alg=RandomSearch(seed=1),
            scheduler=ASHAScheduler(max_t=9, reduction_factor=3),
            checkpoint_config=CheckpointConfig(checkpoint_frequency=1, num_to_keep=2, checkpoint_at_end=True),
            storage_path=s3_url,
            name=name,
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    print(weather.did)

    state = require_one_history(url)
    taken = {trial_id: [step.iteration for step in steps] for trial_id, steps in steps_taken(folder).items()}
    assert taken == iterations(url)  # no step was repeated either
    held = {checkpoint.path for trial in state.trials.values() for checkpoint in trial.checkpoints}
    stored = {key.rpartition("/")[0] for key in ObjectStore(url).list("ckpt") if "MANIFEST" in key}
    assert stored == held
    best = Checkpoint.from_directory(result.restore_best_checkpoint(tmp_path / "best")).to_dict()
    assert best["total"] == result.best_value
    assert weather.did["ckpt"].keys() >= set(FAULTS)
    assert weather.did["log"][Fault.LOST_REPLY] > 0


def test_training_goes_on_while_the_storage_is_away(
    s3_url: str,
    s3: S3Server,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefect_api: SyncPrefectClient,
):
    folder, gate = tmp_path / "steps", tmp_path / "enough"
    folder.mkdir()
    stored = s3.folder / s3_url.removeprefix("s3://") / name  # read beside the proxy
    away = threading.Event()

    def is_said(words: str) -> Callable[[], bool]:
        def ask() -> bool:
            lines = [line for run in flow_runs(prefect_api, name) for line in log_lines(prefect_api, run)]
            return any(words in line.message for line in lines)

        return ask

    def watch() -> None:
        try:
            until(lambda: len(iterations(str(stored))) == 2)
            away.set()
            until(is_said("the storage does not answer"))
            before = _count(steps_taken(folder))
            committed = iterations(str(stored))
            until(lambda: _count(steps_taken(folder)) >= before + 20)
            seen["trained while away"] = iterations(str(stored)) == committed
            away.clear()
            until(lambda: _count(iterations(str(stored))) > before + 20)
        finally:
            away.clear()
            gate.touch()

    seen: dict[str, bool] = {}
    watcher = threading.Thread(target=contextvars.copy_context().run, args=[watch])
    with fault_proxy(s3.endpoint, lambda method, path: Fault.RESET if away.is_set() else None) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        watcher.start()
        try:
            tune(
                Counted,
                {
                    "slope": uniform(0, 1),
                    "folder": str(folder),
                    "pause_s": 0.03,
                    "until": str(gate),
                    "environment": {"AWS_ENDPOINT_URL": endpoint},
                },
                metric="score",
                num_samples=2,
                checkpoint_config=CheckpointConfig(checkpoint_at_end=True),
                storage_path=s3_url,
                storage_retry_s=120,
                name=name,
            )
        finally:
            watcher.join()
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)

    assert seen == {"trained while away": True}
    until(is_said("the storage answers again"))
    require_one_history(f"{s3_url}/{name}")
    assert {trial: [step.iteration for step in steps] for trial, steps in steps_taken(folder).items()} == (
        iterations(f"{s3_url}/{name}")
    )


def _count(by_trial: dict[str, Any]) -> int:
    return sum(map(len, by_trial.values()))
