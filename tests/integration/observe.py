"""What tests see of a run from outside: the journal, the Prefect API, files that trainables leave."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun, Log, State, TaskRun
from prefect.events import Event as PrefectEvent
from prefect.events import ResourceSpecification
from prefect.events.filters import EventFilter, EventResourceFilter

from tune_flows.core.decisions import Record
from tune_flows.core.events import CheckpointSaved, ResultsReported
from tune_flows.experiment.experiment import history
from tune_flows.store import Journal, ObjectStore

T = TypeVar("T")


def until(ask: Callable[[], T], *, within_s: float = 120.0) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{ask.__name__}: not within {within_s:g} s"
        time.sleep(0.05)
    return answer


def records(url: str) -> list[Record]:
    """Everything in the journal of an experiment."""
    return [record for _, step in history(Journal.read(ObjectStore(url), whole=True)) for record in step]


def iterations(url: str) -> dict[str, list[int]]:
    """The iterations that the journal holds for each trial, in order."""
    found: dict[str, list[int]] = {}
    for record in records(url):
        if isinstance(record, ResultsReported):
            found.setdefault(record.trial_id, []).extend(result.iteration for result in record.results)
    return found


def checkpoints(url: str) -> dict[str, list[int]]:
    """The iterations of the checkpoints that the journal holds for each trial, in order."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in records(url):
        if isinstance(record, CheckpointSaved):
            found[record.trial_id].append(record.checkpoint.iteration)
    return found


@contextmanager
def opened_once_journalled(gate: Path, url: str, done: list[int]) -> Iterator[str]:
    """A file for a trainable to wait for.

    It is there once the journal has the iterations `done` of the first trial, and a checkpoint of the last.
    """
    given_up = threading.Event()

    def open_gate() -> None:
        until(lambda: given_up.is_set() or is_saved())
        gate.touch()

    def is_saved() -> bool:
        return iterations(url).get("trial-00000") == done and done[-1] in checkpoints(url)["trial-00000"]

    watcher = threading.Thread(target=open_gate)
    watcher.start()
    try:
        yield str(gate)
    finally:
        given_up.set()
        watcher.join()


def flow_runs(api: SyncPrefectClient, name: str) -> list[FlowRun]:
    """The flow runs with this name, oldest first."""
    runs = api.read_flow_runs(flow_run_filter=FlowRunFilter(name={"any_": [name]}))
    return sorted(runs, key=lambda run: run.created)


def task_runs(api: SyncPrefectClient, name: str) -> list[TaskRun]:
    """The final segments of the flow runs with this name, oldest first; waits until all have arrived."""
    flow_run_filter = FlowRunFilter(name={"any_": [name]})
    counts: list[int] = []

    def settled() -> list[TaskRun]:
        found = api.read_task_runs(flow_run_filter=flow_run_filter)
        counts.append(len(found))
        same = counts[-6:] == [len(found)] * 6
        return found if found and same and all(run.state.is_final() for run in found) else []

    return sorted(until(settled), key=lambda run: run.start_time)


def states(api: SyncPrefectClient, run: TaskRun) -> list[State]:
    """What the ended task run went through, in order; the server may store the last before the one before."""
    counts: list[int] = []

    def whole() -> list[State]:
        found = sorted(api.read_task_run_states(run.id), key=lambda state: state.timestamp)
        counts.append(len(found))
        same = counts[-6:] == [len(found)] * 6
        return found if found and same and found[-1].is_final() else []

    return until(whole)


def log_lines(api: SyncPrefectClient, run: FlowRun | TaskRun) -> list[Log]:
    """What the log of the run holds by now: lines reach the server some seconds after they were written."""
    kind = "flow_run_id" if isinstance(run, FlowRun) else "task_run_id"
    return api.read_logs(LogFilter.model_validate({kind: {"any_": [run.id]}}))


def events(api: SyncPrefectClient, labels: dict[str, str]) -> list[PrefectEvent]:
    """Events whose resource has these labels and that have arrived, oldest first; the newest 50."""
    about = EventResourceFilter(
        labels=ResourceSpecification({name: [value] for name, value in labels.items()})
    )
    found = api.read_events(EventFilter(resource=about), limit=50).events
    return sorted(found, key=lambda event: event.occurred)


def is_alive(pid: int) -> bool:
    """Whether there is such a process; one that nobody has reaped yet does not count."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(session: int) -> list[str]:
    """Command lines of the processes in a session that have not ended."""
    found: list[str] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text().rpartition(") ")
            state, _, _, session_id = fields.split()[:4]
            command = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if int(session_id) == session and state != "Z":
            found.append(command)
    return found
