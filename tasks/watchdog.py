"""Reports the end of a run whose process was killed together with whoever would have reported it.

A worker that is stopped kills the processes of its runs at once, without a signal that they could hear, and
reports nothing: at every redeploy their runs would stay Running for ever. So such a run has a witness: a
process that waits for its end and costs nothing until then.

Rules of this module:

- A run that ends in order says goodbye; then the witness ends too and reports nothing.
- Whoever else reports an end, such as a worker that lives, comes first.
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
"""Seconds that others get to report the end of the run."""
_TRY_S = 300.0
"""Seconds for which an API that does not answer is tried again."""
_GOODBYE = b"ended"
_MESSAGE = "The process of this run was killed. The next run with its name carries the experiment on."


@contextmanager
def watched_over(*run_ids: UUID, run_count: int) -> Generator[None]:
    """Have the end of these flow runs reported if this process dies within the block.

    Args:
        run_ids: The flow run and those that it is part of, in this process.
        run_count: How often the first was begun: a later attempt is another process's.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    witness = subprocess.Popen(
        [sys.executable, "-m", __name__, str(run_count), *map(str, run_ids)],
        env=os.environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what is sent to all of the run's processes is not for it
    )
    try:
        yield
    finally:
        with suppress(OSError):  # it has died itself
            witness.communicate(_GOODBYE)


def main(run_count: int, run_ids: list[UUID]) -> None:
    """Wait until the run's process has ended; report it unless that was in order."""
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
        except Exception:  # whatever it is, nobody would hear of it
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
