"""Says, when a script exits, of its cancelled flow runs that they have ended: nobody else does.

A run that was cancelled stays Cancelling, whatever it ends in itself, until somebody reports it Cancelled: a
worker or `serve` does that for its runs. `tune` does it for its own as long as it looks; a run that is
cancelled in its last seconds, and the flow that called `tune`, are for this.

Rules of this module:

- An API that is away holds the process up for some seconds at most, and nothing is printed.
- One question for all runs of a process, however many they are.
"""

import atexit
from contextlib import suppress
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.context import SettingsContext, get_settings_context
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelled

__all__ = ["confirm_cancelled_at_exit"]

_ANSWER = httpx.Timeout(3.0, connect=1.0)
"""Seconds within which the API must answer; to connect, Prefect tries four times all the same."""
_runs: dict[str, tuple[SettingsContext, set[UUID]]] = {}
"""By the address of an API: the settings it is reached with, and the runs of this process that it knows."""


def confirm_cancelled_at_exit(*run_ids: UUID) -> None:
    """Have those of these runs that are Cancelling when this process exits reported Cancelled.

    Call it within one of them: its API is asked, also if settings or a temporary server have changed by then.
    """
    if not _runs:
        atexit.register(_confirm)  # later than Prefect the end of its temporary server, so it comes before
    url = str(get_client(sync_client=True).api_url)
    _, known = _runs.setdefault(url, (get_settings_context(), set()))
    known.update(run_ids)


def _confirm() -> None:
    for url, (settings, run_ids) in _runs.items():
        with suppress(Exception), settings.model_copy():
            _confirm_at(url, run_ids)


def _confirm_at(url: str, run_ids: set[UUID]) -> None:
    cancelling = FlowRunFilter.model_validate(
        {"id": {"any_": list(run_ids)}, "state": {"type": {"any_": [StateType.CANCELLING]}}}
    )
    with (
        temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client({"timeout": _ANSWER}, sync_client=True) as client,
    ):
        for run in client.read_flow_runs(flow_run_filter=cancelling):
            # what else it ended in the server has not taken
            client.set_flow_run_state(run.id, Cancelled(message="Cancelled."), force=True)
