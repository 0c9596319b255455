"""Workers that are killed, nodes that come and go: trials go on elsewhere, each iteration counts once."""

import gc
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory
from ray.cluster_utils import Cluster
from ray.util import placement_group_table

from tests.integration.faulty import Filling, Slow, with_helper
from tests.integration.observe import is_alive, iterations, records, until
from tune_flows import CheckpointConfig, FailureConfig, TuneResult, grid_search, tune
from tune_flows.core.decisions import TrialLaunched
from tune_flows.core.events import CapacityChanged, CheckpointSaved, FaultKind, TrialFaulted

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api")]

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
ROOM_BYTES = 3 << 29
"""What Ray and a run may take before Ray ends a worker, in the test of that."""
SEED = int(os.environ.get("TUNE_FLOWS_SEED", random.randrange(10**6)))


@pytest.fixture
def run(tmp_path: Path, name: str) -> Callable[..., TuneResult]:
    """`tune` of `Slow` with storage and name of this test."""
    (tmp_path / "steps").mkdir()

    def run(
        *,
        steps: int,
        pause_s: float,
        trainable: type = Slow,
        config: dict[str, Any] | None = None,
        **options: Any,
    ) -> TuneResult:
        return tune(
            trainable,
            {"folder": str(tmp_path / "steps"), "pause_s": pause_s, **(config or {})},
            stop={"training_iteration": steps},
            checkpoint_config=CheckpointConfig(checkpoint_frequency=2, num_to_keep=2),
            failure_config=FailureConfig(max_infra_failures=-1, retry_delay_s=0.1),
            storage_path=str(tmp_path / "storage"),
            name=name,
            **options,
        )

    return run


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Generator[None]:
    """Work on a thread that is told when to stop; what it raises is raised here."""
    over, failed = threading.Event(), []

    def body() -> None:
        try:
            work(over)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not failed, failed


def begun_at(steps: Path) -> list[int]:
    """The first iteration of each process that took steps of a trial."""
    firsts: dict[str, int] = {}
    for line in steps.read_text().splitlines():
        pid, iteration = line.split()
        firsts.setdefault(pid, int(iteration))
    return list(firsts.values())


@pytest.mark.usefixtures("ray_address")
def test_workers_are_killed_again_and_again(run: Callable[..., TuneResult], tmp_path: Path):
    print(f"TUNE_FLOWS_SEED={SEED}")
    dice, killed = random.Random(SEED), set[int]()

    def kill_some(over: threading.Event) -> None:
        while len(killed) < 10 and not over.wait(2.0):
            pids = {int(file.read_text() or 0) for file in (tmp_path / "steps").glob("*.pid")}
            alive = sorted(pid for pid in pids - killed if pid and is_alive(pid))
            if alive:
                victim = dice.choice(alive)
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.add(victim)

    with meanwhile(kill_some):
        result = run(steps=10, pause_s=0.1, num_samples=20)

    assert len(killed) >= 3
    frame = result.dataframe()
    assert set(result.trials_dataframe()["status"]) == {"TERMINATED"}
    assert iterations(result.experiment_url) == {f"trial-{i:05d}": list(range(1, 11)) for i in range(20)}
    assert (frame["total"] == frame["training_iteration"]).all()  # carried on by checkpoints alone
    newest: dict[str, int] = {}
    may_begin: dict[str, set[int]] = {}
    for record in records(result.experiment_url):
        if isinstance(record, CheckpointSaved):
            newest[record.trial_id] = record.checkpoint.iteration
        elif isinstance(record, TrialLaunched):
            may_begin.setdefault(record.trial_id, set()).add(newest.get(record.trial_id, 0) + 1)
    for trial_id, expected in may_begin.items():
        assert set(begun_at(tmp_path / "steps" / f"{trial_id}.steps")) <= expected


@pytest.mark.usefixtures("ray_address")
def test_a_trial_starts_workers_in_its_other_bundle(tmp_path: Path, name: str):
    result = tune(
        with_helper,
        {"x": grid_search([1, 2])},
        metric="score",
        num_samples=1,
        search_alg="grid",
        resources_per_trial=[{"cpu": 1}, {"cpu": 1}],  # all that there is
        storage_path=str(tmp_path),
        name=name,
    )

    assert result.best_value == 42
    assert [
        record.slots for record in records(result.experiment_url) if isinstance(record, CapacityChanged)
    ] == [1]
    until(lambda: ray.available_resources().get("CPU") == 2)
    assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}


@pytest.mark.usefixtures("no_ray")
def test_nodes_come_and_go(run: Callable[..., TuneResult], tmp_path: Path, name: str):
    url = f"{tmp_path}/storage/{name}"

    def slots() -> list[int]:
        return [record.slots for record in records(url) if isinstance(record, CapacityChanged)]

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        first = cluster.add_node(num_cpus=2)
        held = {"hold_at": 6, "gate": str(tmp_path / "gate")}
        options = {"num_samples": 6, "config": held, "ray_address": cluster.address}
        flow = partial(run, steps=12, pause_s=0.3, **options)
        with ThreadPoolExecutor(1) as threads:  # nodes can be added on the main thread only
            running = threads.submit(copy_context().run, flow)
            until(lambda: len(iterations(url)) == 2)
            cluster.remove_node(first, allow_graceful=False)
            until(lambda: slots()[-1:] == [0])
            cluster.add_node(num_cpus=2)
            until(lambda: slots()[-1:] == [2])
            cluster.add_node(num_cpus=2)
            until(lambda: slots()[-1:] == [4] and len(list(tmp_path.glob("steps/*.node"))) == 3)
            (tmp_path / "gate").touch()
            result: TuneResult = running.result()
    finally:
        cluster.shutdown()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its processes unread
            del cluster, first
            gc.collect()

    assert slots() == [2, 0, 2, 4]
    assert iterations(url) == {f"trial-{i:05d}": list(range(1, 13)) for i in range(6)}
    frame = result.dataframe()
    assert (frame["total"] == frame["training_iteration"]).all()
    assert frame["node"].nunique() == 3
    lost = [record.trial_id for record in records(url) if isinstance(record, TrialFaulted)]
    assert sorted(lost) == ["trial-00000", "trial-00001"]


@pytest.mark.usefixtures("no_ray")
def test_a_worker_that_fills_the_memory_of_its_node_is_killed(
    run: Callable[..., TuneResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    threshold = (get_used_memory() + ROOM_BYTES) / get_system_memory()
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{threshold:.4f}")
    config = {"once": f"{tmp_path}/once", "most_bytes": 4 * ROOM_BYTES}

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        result = run(steps=4, pause_s=0.05, trainable=Filling, config=config, num_samples=1)
    finally:
        ray.shutdown()

    assert iterations(result.experiment_url) == {"trial-00000": [1, 2, 3, 4]}
    faults = [record for record in records(result.experiment_url) if isinstance(record, TrialFaulted)]
    assert {fault.kind for fault in faults} == {FaultKind.INFRASTRUCTURE}
    assert faults[0].message.startswith("out of memory, the worker's process was killed: ")
    assert "RAY_memory_usage_threshold" in faults[0].traceback  # what to do about it
