"""What a trainable can do wrong, and what comes of it: of its trial, of the others, of the run."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.integration.faulty import Faulty, OwnError, faulty, noting
from tests.integration.observe import (
    events,
    flow_runs,
    iterations,
    log_lines,
    records,
    states,
    task_runs,
    until,
)
from tests.integration.trainables import wait_for
from tune_flows import (
    AllTrialsFailed,
    CheckpointConfig,
    FailureConfig,
    TrialFailed,
    TuneResult,
    grid_search,
    open_experiment,
    tune,
)
from tune_flows.core.decisions import ExperimentEnded
from tune_flows.core.events import CheckpointSaved, FaultKind, TrialCompleted, TrialFaulted
from tune_flows.store import ObjectStore, error_key

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_api", "ray_address")]

Run = Callable[..., TuneResult]

USER, INFRA = FaultKind.TRAINABLE, FaultKind.INFRASTRUCTURE
HEALTHY: dict[str, Any] = {"deeds": {}, "deed": None}


@pytest.fixture
def run(tmp_path: Path, name: str) -> Run:
    """`tune` with storage and name of this test; a trial for each case, one more try for each kind."""

    def run(trainable: object, cases: list[dict[str, Any]], **options: Any) -> TuneResult:
        budgets = {"max_failures": 1, "max_infra_failures": 1, "retry_delay_s": 0.05}
        defaults = {
            "metric": "score",
            "storage_path": str(tmp_path / "storage"),
            "name": name,
            "num_samples": 1,
            "search_alg": "grid",
            "stop": {"training_iteration": 4},
            "checkpoint_config": CheckpointConfig(checkpoint_frequency=int(isinstance(trainable, type))),
            "failure_config": FailureConfig(**(budgets | options.pop("budgets", {}))),
        }
        return tune(trainable, {"case": grid_search(cases)}, **(defaults | options))

    return run


def faults(url: str) -> dict[str, list[TrialFaulted]]:
    """By trial."""
    found: dict[str, list[TrialFaulted]] = {}
    for record in records(url):
        if isinstance(record, TrialFaulted):
            found.setdefault(record.trial_id, []).append(record)
    return found


DIED = "the worker's process died"
CLASS_TABLE = [
    ({"setup": "raise"}, [USER] * 2, "OwnError: no luck"),
    ({"step": "raise"}, [USER] * 2, "OwnError: no luck"),
    ({"save": "raise"}, [USER] * 2, "OwnError: no luck"),
    ({"step": "raise", "load": "os._exit"}, [USER, INFRA, INFRA], DIED),
    ({"step": "raise", "load": "raise"}, [USER, USER], "OwnError: no luck"),
    ({"step": "sys.exit"}, [USER] * 2, "SystemExit: 3"),
    ({"step": "memory"}, [USER] * 2, "MemoryError"),
    ({"step": "bad metric"}, [USER] * 2, "reported value of 'score'"),
    ({"step": "os._exit"}, [INFRA] * 2, DIED),
    ({"step": "segfault"}, [INFRA] * 2, DIED),
    ({"step": "hang"}, [INFRA] * 2, "no sign of life within step_timeout_s=5"),
]
FUNCTION_TABLE = [
    ("raise", [USER] * 2, "OwnError: no luck"),
    ("sys.exit", [USER] * 2, "SystemExit: 3"),
    ("bad metric", [USER] * 2, "reported value of 'score'"),
    ("abort", [INFRA] * 2, DIED),
    ("hang", [INFRA] * 2, "no sign of life within step_timeout_s=5"),
]


@pytest.mark.parametrize(
    ("trainable", "cases"),
    [
        (Faulty, [({"deeds": deeds}, kinds, text) for deeds, kinds, text in CLASS_TABLE]),
        (faulty, [({"deed": deed}, kinds, text) for deed, kinds, text in FUNCTION_TABLE]),
    ],
)
def test_each_fault_fails_its_own_trial_only(
    run: Run, trainable: object, cases: list[tuple[dict[str, Any], list[FaultKind], str]]
):
    result = run(trainable, [*(case for case, _, _ in cases), HEALTHY], step_timeout_s=5)

    last = f"trial-{len(cases):05d}"
    trials = result.trials_dataframe().set_index("trial_id")
    assert trials["status"].to_dict() == dict.fromkeys(trials.index, "ERRORED") | {last: "TERMINATED"}
    assert iterations(result.experiment_url)[last] == [1, 2, 3, 4]
    told = faults(result.experiment_url)
    assert last not in told
    for number, (case, kinds, text) in enumerate(cases):
        trial_id = f"trial-{number:05d}"
        assert [fault.kind for fault in told[trial_id]] == kinds, case
        assert text in told[trial_id][-1].message, case
        assert text in result.errors[trial_id], case
        assert trials.loc[trial_id, "failures"] == len(kinds)
        known = iterations(result.experiment_url).get(trial_id, [])
        assert known == [1, 2][: len(known)], case
        kept = ObjectStore(result.experiment_url).get(error_key(trial_id))
        assert kept is not None
        assert text in kept.decode()
        if kinds[-1] is USER and "OwnError" in text:
            assert "in act\n    raise OwnError" in kept.decode()


def test_after_a_fault_a_trial_goes_on_from_its_checkpoint(run: Run, tmp_path: Path):
    deeds = ["raise", "os._exit", "hang in C", "fork"]
    cases = [{"deeds": {"step": deed}, "once": f"{tmp_path}/{deed}", "pause_s": 0.6} for deed in deeds]

    result = run(Faulty, cases, step_timeout_s=5)

    assert result.errors == {}
    assert set(map(tuple, iterations(result.experiment_url).values())) == {(1, 2, 3, 4)}
    begun = result.dataframe().groupby("trial_id")["begun"].apply(list).tolist()
    newest = at_the_fault(result.experiment_url)
    assert newest[0] == 2  # an error leaves the worker alive to hand over everything
    for row, at in zip(begun, [*newest, 0], strict=True):
        assert row[-1] == at
        assert set(row) <= {0, at}
    assert [len(told) for told in faults(result.experiment_url).values()] == [1, 1, 1]


def test_a_worker_whose_trial_failed_is_never_used_again(run: Run, tmp_path: Path):
    """Though its process is alive and well after an error that the trainable raised."""
    pids = tmp_path / "pids"
    cases = [{"pids": str(pids), "deed": deed} for deed in ("raise", None, None, None)]
    run(noting, cases, max_concurrent_trials=1, budgets={"max_failures": 2})

    failed, healthy = pids.read_text().split()[:3], pids.read_text().split()[3:]
    assert len(set(failed)) == 3
    assert len(healthy) == 3
    assert len(set(healthy)) == 1
    assert not set(failed) & set(healthy)


def at_the_fault(url: str) -> list[int]:
    """The iteration of the newest checkpoint of each trial that faulted."""
    saved: dict[str, int] = {}
    found: dict[str, int] = {}
    for record in records(url):
        if isinstance(record, CheckpointSaved):
            saved[record.trial_id] = record.checkpoint.iteration
        elif isinstance(record, TrialFaulted):
            found[record.trial_id] = saved.get(record.trial_id, 0)
    return [iteration for _, iteration in sorted(found.items())]


def test_a_checkpoint_that_is_gone_is_counted_apart(run: Run, tmp_path: Path, name: str):
    url = f"{tmp_path}/storage/{name}"
    config = {"deeds": {"step": "raise"}, "once": f"{tmp_path}/once", "lose": f"{url}/ckpt", "pause_s": 0.6}
    with pytest.raises(
        AllTrialsFailed, match=r"restoring the checkpoint of iteration 1 failed: StorageError"
    ):
        run(Forgetful, [config], budgets={"max_restore_failures": 2})
    of_trial = faults(url)["trial-00000"]
    assert [fault.kind for fault in of_trial] == [USER] + [FaultKind.RESTORE] * 3
    tried = [re.findall(r"checkpoint of iteration (\d)", fault.message) for fault in of_trial[1:]]
    assert tried == [["2"], ["2"], ["1"]]


class Forgetful(Faulty):
    """Loses its checkpoints before its deed."""

    def act(self, place: str) -> Any:
        if place == "step":
            folder = Path(self.config["case"]["lose"])
            wait_for(lambda: sum(1 for _ in folder.rglob("MANIFEST*")) == 2)
            for file in folder.rglob("*"):
                if file.is_file():
                    file.unlink()
        return super().act(place)


def test_the_log_of_the_task_run_has_the_traceback(run: Run, name: str, prefect_api: SyncPrefectClient):
    run(faulty, [{"deed": "raise"}, HEALTHY])

    (flow_run,) = flow_runs(prefect_api, name)
    assert flow_run.state_name == "Completed"
    (failed,) = [run for run in task_runs(prefect_api, name) if run.state_name == "Failed"]
    assert failed.run_count == 2
    assert [state.name for state in states(prefect_api, failed)] == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Failed",
    ]

    def told() -> Counter[tuple[int, bool]]:
        lines = log_lines(prefect_api, failed)
        return Counter((line.level, 'raise OwnError("no luck")' in line.message) for line in lines)

    def warned() -> bool:
        news = "trial-00000 failed: OwnError: no luck"
        return any(line.level == 30 and news in line.message for line in log_lines(prefect_api, flow_run))

    until(lambda: told()[40, True] == 1)
    until(warned)


def test_fail_fast_stops_the_others_in_order(run: Run, tmp_path: Path, name: str):
    url = f"{tmp_path}/storage/{name}"
    with pytest.raises(TrialFailed, match="trial-00000: OwnError: no luck"):
        run(
            Faulty,
            [{"deeds": {"step": "raise"}}, *[HEALTHY] * 3],
            stop={"training_iteration": 10**9},
            budgets={"max_failures": 0, "fail_fast": True},
        )

    trials = open_experiment(url).trials_dataframe()
    assert sorted(trials["status"])[0] == "ERRORED"
    assert set(trials["status"][1:]) <= {"TERMINATED"}


@pytest.mark.parametrize("other", [HEALTHY, {"deeds": {"step": "hang"}}])
def test_fail_fast_raises_the_own_exception_of_the_trial(
    run: Run, tmp_path: Path, name: str, prefect_api: SyncPrefectClient, other: dict[str, Any]
):
    with pytest.raises(OwnError, match="no luck") as caught:
        run(
            Faulty,
            [{"deeds": {"step": "raise"}, "pause_s": 0.6}, other],
            stop={"training_iteration": 10**9},
            budgets={"max_failures": 0, "fail_fast": "raise"},
            shutdown_grace_s=10 if other is HEALTHY else 0,
        )

    assert "trial-00000" in caught.value.__notes__[0]
    (flow_run,) = flow_runs(prefect_api, name)
    assert flow_run.state_name == "Failed"
    url = f"{tmp_path}/storage/{name}"
    whole = records(url)
    assert whole[-1] == ExperimentEnded("fail_fast: trial-00000 failed")
    assert [r.trial_id for r in whole if isinstance(r, TrialCompleted)] == ["trial-00001"]
    assert set(open_experiment(url).trials_dataframe()["status"]) == {"ERRORED", "TERMINATED"}

    def ends() -> list[str]:
        told = events(prefect_api, {"tune-flows.experiment.name": name})
        return [event.event for event in told if event.event.endswith((".failed", ".stopped", ".finished"))]

    assert until(ends) == ["tune-flows.experiment.failed"]
