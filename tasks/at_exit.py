"""Reports the cancelled flow runs of a script as Cancelled when the script exits.

A cancelled run stays Cancelling, regardless of the state it returns, until it is reported Cancelled. A worker
or `serve` does that for its runs, and `tune` does it for its own run while it polls the run's state. This
module covers a run that is cancelled in its last seconds, and the flow that called `tune`.

Rules of this module:

- An unreachable API delays the exit by a few seconds at most, and nothing is printed.
- One query per API covers all runs of the process.
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
"""Seconds within which the API must answer; Prefect still makes four attempts to connect."""
_runs: dict[str, tuple[SettingsContext, set[UUID]]] = {}
"""For each API URL: the settings to reach it with, and the runs of this process that it knows."""


def confirm_cancelled_at_exit(*run_ids: UUID) -> None:
    """Report those of these runs that are Cancelling when this process exits as Cancelled.

    Call it within one of the runs: its API is used even if settings or a temporary server change later.
    """
    if not _runs:
        atexit.register(_confirm)  # registered after Prefect's stop of its temporary server, so it runs first
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
            # forced, as the server rejected any other final state
            client.set_flow_run_state(run.id, Cancelled(message="Cancelled."), force=True)
