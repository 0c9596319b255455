"""What becomes of the flow run when its session was stopped from outside."""

import atexit
import logging
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout, Pause
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed

from tune_flows.tasks.watch import ASK_S, Cause, Watch

__all__ = ["ended_from_outside", "wait_while_paused"]

_log = logging.getLogger(__name__)
_CARRIED_ON = "The experiment is saved, the next run with its name carries on."


def ended_from_outside(watch: Watch) -> Any:  # noqa: ANN401 - a flow may return a state of its run
    """The state that the flow run ends in, for the flow to return.

    Raises:
        Pause: The run was suspended: its process ends, and the state stays as it is.
    """
    match watch.cause:
        case Cause.SUSPENDED:
            raise Pause(state=watch.state)
        case Cause.ORPHANED:
            return Crashed(message=f"The process that had started this run is gone. {_CARRIED_ON}")
        case Cause.ASKED:
            return Cancelled(message=f"Stopped on request. {_CARRIED_ON}")
        case _:
            above = watch.run.here[1:]
            if above and watch.run.parent is None:
                atexit.register(_confirm_cancelled, *above)
            return Cancelled(message=f"Cancelled. {_CARRIED_ON}")


def _confirm_cancelled(run_id: UUID) -> None:
    """A flow that called `tune`, was cancelled and has ended: in a script nobody else says so.

    What it ended in itself, an error by which it heard of the cancellation, the server does not take.
    """
    with suppress(Exception), get_client(sync_client=True) as client:
        state = client.read_flow_run(run_id).state
        if state is not None and state.is_cancelling():
            client.set_flow_run_state(run_id, Cancelled(message="Cancelled."), force=True)


def wait_while_paused(watch: Watch, *, ask_s: float = ASK_S) -> None:
    """Wait, without resources, until the present run, which somebody paused, is not PAUSED any more.

    Raises:
        FlowPauseTimeout: It was not resumed in time.
    """
    state, run_id = watch.state, UUID(flow_run.id)
    with get_client(sync_client=True) as client:
        while state is not None and state.is_paused():
            limit = state.state_details.pause_timeout
            if limit is not None and time.time() > limit.timestamp():
                raise FlowPauseTimeout("Flow run was paused and never resumed.")
            time.sleep(ask_s)
            try:
                state = client.read_flow_run(run_id).state
            except Exception as error:
                _log.debug("the state of flow run %s is not known: %s", run_id, error)
