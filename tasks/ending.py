"""The end of a flow run whose session was stopped from outside."""

import logging
import time
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout, Pause
from prefect.states import Cancelled, Crashed

from tune_flows.tasks.watch import ASK_S, StopReason, Watch

__all__ = ["ended_from_outside", "wait_while_paused"]

_log = logging.getLogger(__name__)
_CARRIED_ON = "The experiment is saved, the next run with its name carries on."


def ended_from_outside(watch: Watch) -> Any:  # noqa: ANN401 - a flow may return a state of its run
    """Return the final state of the flow run, for the flow to return.

    Raises:
        Pause: The run was suspended: its process ends, and the state stays as it is.
    """
    match watch.cause:
        case StopReason.SUSPENDED:
            raise Pause(state=watch.state)
        case StopReason.ORPHANED:
            return Crashed(message=f"The process that had started this run is gone. {_CARRIED_ON}")
        case StopReason.ASKED:
            return Cancelled(message=f"Stopped on request. {_CARRIED_ON}")
        case _:
            return Cancelled(message=f"Cancelled. {_CARRIED_ON}")


def wait_while_paused(watch: Watch, *, ask_s: float = ASK_S) -> StopReason | None:
    """Wait, without resources, until neither the paused run nor its root run is PAUSED.

    Returns:
        Why the run must stop now, which is also the new cause of the watch; None: the run continues.

    Raises:
        FlowPauseTimeout: The run was not resumed in time.
    """
    with get_client(sync_client=True) as client:
        while watch.cause is StopReason.PAUSED and watch.state is not None:
            limit = watch.state.state_details.pause_timeout
            if limit is not None and time.time() > limit.timestamp():
                raise FlowPauseTimeout("Flow run was paused and never resumed.")
            time.sleep(ask_s)
            try:
                states = [client.read_flow_run(run_id).state for run_id in watch.run.run_ids]
            except Exception as error:
                _log.debug("whether the run is still paused is not known: %s", error)
            else:
                watch.look_again(states)
    return watch.cause
