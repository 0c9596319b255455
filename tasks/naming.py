"""The name of the experiment that the present flow run works on."""

import re
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.names import filled_in, has_placeholders

__all__ = ["experiment_name", "run_name"]


def experiment_name(name: str | None, trainable: object) -> str:
    """The given name, its placeholders filled in, or one of this flow run's.

    Either is the same when the run is retried, which so carries the experiment on.

    Raises:
        InvalidParameter: The name has a placeholder that there is not. Final.
    """
    if name is None:
        return f"{_label(trainable)}-{str(flow_run.id)[:8]}"
    if not has_placeholders(name):
        return name
    return filled_in(name, scheduled_for=_scheduled_for(), flow_run_id=str(flow_run.id))


def run_name(name: str | None, trainable: object) -> str:
    """What the present flow run is called: as its experiment; a name that cannot be one stands as it is.

    Prefect leaves a run pending for ever that cannot be named; the flow itself refuses the name.
    """
    try:
        return experiment_name(name, trainable)
    except InvalidParameter:
        return str(name)


def _label(trainable: object) -> str:
    """What a name that nobody gave begins with."""
    known = trainable if isinstance(trainable, str) else getattr(trainable, "__name__", None)
    return re.split(r"[.:]", known or type(trainable).__name__)[-1]


def _scheduled_for() -> datetime:
    """The time that this run was planned for; as part of another flow's run, that one was."""
    root = flow_run.root_flow_run_id
    if root and root != str(flow_run.id):
        with get_client(sync_client=True) as client:
            planned = client.read_flow_run(UUID(root)).expected_start_time
        if planned is not None:
            return planned
    return flow_run.scheduled_start_time
