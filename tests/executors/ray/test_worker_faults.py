"""What Ray says of a lost worker, in words for the user, and whose fault it is."""

import pickle

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayTaskError

from tune_flows.core.errors import InfrastructureError, RestoreError, StorageError, TrainableError
from tune_flows.core.events import FaultKind
from tune_flows.executors.ray.worker_faults import WorkerFault, translated

REPORT = """The actor died unexpectedly before finishing this task.
\tclass_name: HostActor
\tactor_id: 4711
\tpid: 4
\tip: 192.0.2.1
The actor is dead because {why} Some common causes include: (1) the process was killed by the OOM killer."""


def fault_of(error: Exception) -> WorkerFault:
    with pytest.raises(WorkerFault) as caught, translated():
        raise error
    return caught.value


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("advance", "traceback of Ray's own", cause).as_instanceof_cause()


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (TrainableError("boom\n\nTraceback: here"), FaultKind.TRAINABLE),
        (InfrastructureError("boom\n\nTraceback: here"), FaultKind.INFRASTRUCTURE),
        (StorageError("boom\n\nTraceback: here"), FaultKind.INFRASTRUCTURE),
        (RestoreError("boom\n\nTraceback: here"), FaultKind.RESTORE),
    ],
)
def test_errors_of_the_call(cause, kind):
    fault = fault_of(task_error(pickle.loads(pickle.dumps(cause))))
    assert (fault.kind, fault.message, fault.traceback) == (kind, "boom", "Traceback: here")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RayActorError(error_msg=REPORT.format(why="its worker process has died.")),
            "the worker's process died: The actor is dead because its worker process has died.",
        ),
        (
            RayActorError(error_msg=REPORT.format(why="its node has died.")),
            "the worker's node was lost: The actor is dead because its node has died.",
        ),
        (
            OutOfMemoryError("Task was killed due to the node running low on memory."),
            "out of memory, the worker's process was killed: Task was killed due to the node running low on "
            "memory.",
        ),
        (
            RayActorError(error_msg=REPORT.format(why="its node was running low on memory.")),
            "out of memory, the worker's process was killed: The actor is dead because its node was running "
            "low on memory.",
        ),
        (ConnectionError("no route"), "ConnectionError: no route"),
        (ActorDiedError(), "the worker's process died: no message"),
    ],
)
def test_lost_workers(error, message):
    fault = fault_of(error)
    assert (fault.kind, fault.message) == (FaultKind.INFRASTRUCTURE, message)


def test_an_announced_preemption():
    report = REPORT.format(why="its node has died.")
    assert fault_of(RayActorError(error_msg=report, preempted=True)).kind is FaultKind.PREEMPTION


def test_what_fails_before_the_worker_is_there_is_the_trainables():
    error = RayActorError(
        error_msg="The actor died.\nModuleNotFoundError: my_project", actor_init_failed=True
    )
    fault = fault_of(error)
    assert (fault.kind, fault.message) == (FaultKind.TRAINABLE, "ModuleNotFoundError: my_project")


def test_other_exceptions_pass():
    with pytest.raises(ValueError, match="ours"), translated():
        raise ValueError("ours")
