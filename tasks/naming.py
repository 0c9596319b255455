"""The names of the current flow run and of its experiment."""

import re
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.names import filled_in, has_placeholders

__all__ = ["experiment_name", "run_name"]


def experiment_name(name: str | None, trainable: object) -> str:
    """Return `name` with its placeholders filled in, or a name made from the trainable and the flow run's id.

    Both stay the same when the run is retried, so that the retry continues the experiment.

    Raises:
        InvalidParameter: The name has an unknown placeholder. Final.
    """
    if name is None:
        return f"{_label(trainable)}-{str(flow_run.id)[:8]}"
    if not has_placeholders(name):
        return name
    return filled_in(name, scheduled_for=_scheduled_for(), flow_run_id=str(flow_run.id))


def run_name(name: str | None, trainable: object) -> str:
    """Return the name of the current flow run: that of its experiment, or `name` unchanged if it is invalid.

    An error here would leave the run Pending for ever; the flow itself rejects an invalid name.
    """
    try:
        return experiment_name(name, trainable)
    except InvalidParameter:
        return str(name)


def _label(trainable: object) -> str:
    """Return the beginning of a generated name."""
    known = trainable if isinstance(trainable, str) else getattr(trainable, "__name__", None)
    return re.split(r"[.:]", known or type(trainable).__name__)[-1]


def _scheduled_for() -> datetime:
    """Return the time that this run, or its root run if it is part of another, was scheduled for."""
    root = flow_run.root_flow_run_id
    if root and root != str(flow_run.id):
        with get_client(sync_client=True) as client:
            planned = client.read_flow_run(UUID(root)).expected_start_time
        if planned is not None:
            return planned
    return flow_run.scheduled_start_time
