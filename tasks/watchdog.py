"""Reports the end of a run whose process was killed together with the worker that would have reported it.

A worker that is stopped kills the processes of its runs at once, without a signal that they could handle, and
reports nothing: after every redeploy their runs would stay Running for ever. So such a run starts a second
process, the watchdog, which waits for the run's process to end and uses no CPU until then.

Rules of this module:

- A run that ends normally tells the watchdog, which then exits without a report.
- Others that may report the end, such as a live worker, get time to do so first.
- Nothing heavy is imported before there is something to report.
"""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

__all__ = ["main", "watched_over"]

_OTHERS_S = 10.0
"""Seconds that others have to report the end of the run."""
_TRY_S = 300.0
"""Seconds for which requests to an API that does not answer are retried."""
_GOODBYE = b"ended"
_MESSAGE = "The process of this run was killed. The next run with its name carries the experiment on."


@contextmanager
def watched_over(*run_ids: UUID, run_count: int) -> Generator[None]:
    """Report the end of these flow runs if this process dies within the block.

    Args:
        run_ids: The flow run, then its parent runs in this process.
        run_count: Run count of the first one; a higher count means that another process has retried it.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    watchdog = subprocess.Popen(
        [sys.executable, "-m", __name__, str(run_count), *map(str, run_ids)],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that signals to the run's process group do not reach it
    )
    try:
        yield
    finally:
        with suppress(OSError):  # the watchdog has died
            watchdog.communicate(_GOODBYE)


def main(run_count: int, run_ids: list[UUID]) -> None:
    """Wait until the run's process has ended; report its end unless it was normal."""
    if sys.stdin.buffer.read() == _GOODBYE:
        return
    time.sleep(_OTHERS_S)
    from prefect.client.orchestration import get_client

    limit = time.monotonic() + _TRY_S
    while time.monotonic() < limit:
        try:
            with get_client(sync_client=True) as client:
                if client.read_flow_run(run_ids[0]).run_count == run_count:
                    for run_id in run_ids:
                        _report(client, run_id)
        except Exception:  # of any kind, as there is nowhere to report it
            time.sleep(_OTHERS_S)
        else:
            return


def _report(client: "SyncPrefectClient", run_id: UUID) -> None:
    from prefect.states import Cancelled, Crashed

    state = client.read_flow_run(run_id).state
    if state is not None and state.is_running():
        client.set_flow_run_state(run_id, Crashed(message=_MESSAGE), force=True)
    elif state is not None and state.is_cancelling():
        client.set_flow_run_state(run_id, Cancelled(message=_MESSAGE), force=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), [UUID(run_id) for run_id in sys.argv[2:]])
