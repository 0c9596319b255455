"""What a trainable prints and logs is in the log of its task run."""

import logging
import re
import threading
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import Log
from prefect.client.schemas.sorting import LogSort
from prefect.logging.handlers import APILogWorker

from tests.integration.observe import flow_runs, task_runs, until
from tests.integration.talkers import Talker, talk
from tune_flows import CheckpointConfig, FailureConfig, grid_search, tune

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("ray_address")]

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR
RUN, TALK = "prefect.task_runs", talk.__module__

SAID = [
    (INFO, TALK, "begins"),
    *(
        line
        for step in range(2)
        for line in (
            (INFO, RUN, f"step {step}"),
            (INFO, RUN, "100%"),
            (WARNING, TALK, f"careful with {step}"),
            (INFO, RUN, f"child {step}"),
        )
    ),
]


KINDS = {
    "return": "returns",
    "raise": "ValueError: no luck",
    "exit": "the worker's process died",
    "crash": "the worker's process died",
    "flood": "flood 19999",
}
"""What the function ends with, and how its last line in the log begins."""

Said = tuple[int, str, str]
"""Level, logger, text."""


def logged(api: SyncPrefectClient, name: str) -> list[Log]:
    """The log of the flow run and its task runs in the order of the UI, page by page."""
    found: list[Log] = []
    for flow_run in flow_runs(api, name):
        log_filter = LogFilter.model_validate({"flow_run_id": {"any_": [flow_run.id]}})
        while page := api.read_logs(log_filter, sort=LogSort.TIMESTAMP_ASC, offset=len(found), limit=200):
            found += page
    return found


def by_trial(api: SyncPrefectClient, name: str) -> dict[int, list[Said]]:
    """What is in the task runs' logs of each trial by now.

    A task run is named by its first trial; lines of others begin with their ids.
    """
    runs = api.read_task_runs(flow_run_filter=FlowRunFilter(name={"any_": [name]}))
    owners = {run.id: run.name.split()[0] for run in runs}
    found: dict[int, list[Said]] = {}
    for line in logged(api, name):
        if line.task_run_id in owners and not line.message.startswith("Finished in state"):
            named, colon, rest = line.message.partition(": ")
            is_other = bool(colon) and re.fullmatch(r"trial-\d{5}", named)
            trial, text = (named, rest) if is_other else (owners[line.task_run_id], line.message)
            found.setdefault(int(trial[6:]), []).append((line.level, line.name, text))
    return found


def first(lines: list[Said], beginning: str) -> int:
    return next(number for number, line in enumerate(lines) if line[2].startswith(beginning))


def test_a_function_is_heard_until_its_end(prefect_api: SyncPrefectClient, tmp_path: Path, name: str):
    tune(
        talk,
        {"then": grid_search(list(KINDS))},
        metric="loss",
        num_samples=1,
        failure_config=FailureConfig(max_infra_failures=0),
        storage_path=str(tmp_path),
        name=name,
    )
    APILogWorker.drain_all(timeout=10)

    def whole() -> dict[str, list[Said]]:
        found = dict(zip(KINDS, (by_trial(prefect_api, name).get(i, []) for i in range(5)), strict=True))
        there = [any(line[2].startswith(last) for line in found[kind]) for kind, last in KINDS.items()]
        return found if all(there) else {}

    lines = until(whole)
    assert lines["return"] == [*SAID, (INFO, RUN, "returns")]

    *before, error = lines["raise"]
    assert before == [*SAID, (INFO, RUN, "so sad")]
    assert error[:2] == (ERROR, RUN)
    assert "Traceback" in error[2]

    assert [line for line in SAID if line not in lines["exit"]] == []
    assert first(lines["exit"], "last words") < first(lines["exit"], KINDS["exit"])
    assert [line for line in SAID if line not in lines["crash"]] == []
    assert first(lines["crash"], "Fatal Python error") < first(lines["crash"], KINDS["crash"])

    flood = [text for _, _, text in lines["flood"]][len(SAID) :]
    counted = sum(int(text[1:].split()[0].replace(",", "")) for text in flood if text.endswith("left out]"))
    shown = [int(text.split()[1]) for text in flood if text.startswith("flood")]
    assert counted + len(shown) == 20_000
    assert shown == sorted(shown)
    assert 50 < len(shown) < 300

    def ends() -> list[str]:
        told = [line.message for line in logged(prefect_api, name) if line.name == "prefect.flow_runs"]
        found = sorted(text for text in told if " ended after " in text or " failed after " in text)
        return found if len(found) == len(KINDS) else []

    assert until(ends)[1] == "trial-00001 failed after 2 iterations: ValueError: no luck"


def test_trials_that_share_a_task_run_are_told_apart(
    prefect_api: SyncPrefectClient, tmp_path: Path, name: str
):
    tune(
        Talker,
        {"x": 1},
        metric="loss",
        num_samples=2,
        max_concurrent_trials=1,
        max_task_runs_per_s=0.01,  # so that the first stays open, however long its worker takes to start
        checkpoint_config=CheckpointConfig(checkpoint_frequency=1),
        storage_path=str(tmp_path),
        name=name,
    )
    (run,) = task_runs(prefect_api, name)
    said = ["setup", "step 0", "save", "step 1", "save", "cleanup"]

    def texts() -> list[str]:
        return [line.message for line in logged(prefect_api, name) if line.task_run_id == run.id]

    APILogWorker.drain_all(timeout=10)
    until(lambda: len(texts()) >= 12)
    assert run.name == "trial-00000 [0 to end]"
    assert texts() == [*said, *(f"trial-00001: {text}" for text in said)]


def test_a_step_is_heard_while_it_runs(prefect_api: SyncPrefectClient, tmp_path: Path, name: str):
    gate, seen = tmp_path / "gate", threading.Event()

    def is_heard() -> bool:
        return any(line.message == "step 1" for line in logged(prefect_api, name))

    def open_gate() -> None:
        try:
            until(is_heard)
            seen.set()
        finally:
            gate.touch()

    watcher = threading.Thread(target=open_gate)
    watcher.start()
    tune(Talker, {"gate": str(gate)}, metric="loss", num_samples=1, storage_path=str(tmp_path), name=name)
    watcher.join()
    assert seen.is_set()
