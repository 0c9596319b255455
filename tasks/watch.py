"""Watches for reasons to end a session other than signals: the run's state, its time limit, its parent.

Prefect ends only processes that a worker or `serve` started, and only while that parent is alive. A run that
was started as a script, or whose worker is gone, must watch for these reasons itself.

Rules of this module:

- Only the first reason counts. It is passed to `stop`; the flow decides the final state of the run.
- An API that does not answer is no reason to end: the query is repeated.
"""

import asyncio
import logging
import multiprocessing
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from tune_flows.tasks.at_exit import confirm_cancelled_at_exit
from tune_flows.tasks.watchdog import watched_over

__all__ = ["ASK_S", "StopReason", "Watch", "WatchedRun"]

_log = logging.getLogger(__name__)

ASK_S = 5.0
"""Seconds between two queries of the run's state."""
_ANSWER_S = 10.0
"""Seconds after which a query is abandoned; the client itself would retry for a minute."""
_PARENT_S = 1.0
"""Seconds between two checks of the parent process."""


class StopReason(Enum):
    """Why the session was stopped."""

    CANCELLED = auto()
    """The run was cancelled."""
    SUSPENDED = auto()
    """The run was suspended: its process must end; on resume a new one is started."""
    PAUSED = auto()
    """The run was paused: its process waits, without resources."""
    ASKED = auto()
    """The driver received a request to stop through the storage (`tune-flows stop`)."""
    OUT_OF_TIME = auto()
    """`max_wall_time_s` has passed."""
    ORPHANED = auto()
    """The worker that started this process, and would report its end, is gone."""


_GRAVEST_FIRST = (StopReason.CANCELLED, StopReason.SUSPENDED, StopReason.PAUSED)
"""Order of precedence when the flow run and its root run give different causes."""


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """The runs and the parent process that a `Watch` checks."""

    run_ids: tuple[UUID, ...]
    """The flow run, and its root run if it is part of another run."""
    here: tuple[UUID, ...]
    """Those that this process runs: the root of a run that `run_deployment` started is in another process."""
    parent: int | None
    """Id of the worker or `serve` process that started this one for the run; None: the user started it."""

    @classmethod
    def present(cls) -> "WatchedRun":
        """Return the current flow run."""
        own, root = flow_run.id, flow_run.root_flow_run_id
        ids = tuple(UUID(run_id) for run_id in dict.fromkeys((own, root)) if run_id)
        context = FlowRunContext.get()
        run = context.flow_run if context is not None else None
        here = ids if run is None or run.deployment_id is None else ids[:1]
        # A worker passes the run's id to the process that it starts; `serve` starts it by multiprocessing.
        # Both report a cancellation themselves. A process that the user starts from within such a run
        # inherits these variables, but creates another flow run.
        reported = os.environ.get("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS", "").lower() == "false"
        named = os.environ.get("PREFECT__FLOW_RUN_ID") in (own, root)
        managed = reported and (named or multiprocessing.parent_process() is not None)
        return cls(ids, here, os.getppid() if managed else None)

    def watched_over(self) -> AbstractContextManager[None]:
        """Report the end of the run in the cases in which no other process does.

        These are: this process is killed together with its parent; and, in a script, the run or its root run
        is cancelled too late for a watch to see it.
        """
        if self.parent is None:
            confirm_cancelled_at_exit(*self.here)
            return nullcontext()
        return watched_over(*self.here, run_count=flow_run.run_count)


class Watch:
    """Watches for a reason to end the session, in the event loop of the driver.

    Args:
        run: What to watch.
        stop: Called with the reason, once.
        deadline: Time (monotonic, s) at which the session must end; None: no deadline.
        ask_s: Seconds between two queries of the run's state.
    """

    def __init__(
        self,
        run: WatchedRun,
        stop: Callable[[str], object],
        *,
        deadline: float | None = None,
        ask_s: float = ASK_S,
    ) -> None:
        self.cause: StopReason | None = None
        """Why the session was stopped; None: it was not stopped."""
        self.state: State | None = None
        """The run state that was the cause; None: the cause was another one."""
        self.left_s: float | None = None
        """Seconds left until the deadline when the session was stopped; None: there is no deadline."""
        self.run = run
        """What is watched."""
        self._stop = stop
        self._deadline = deadline
        self._ask_s = ask_s

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Watch while the block runs."""
        looks = [asyncio.create_task(look()) for look in (self._at_state, self._at_clock, self._at_parent)]
        try:
            yield
        finally:
            for look in looks:
                look.cancel()
            await asyncio.wait(looks)

    def look_again(self, states: Iterable[State | None]) -> None:
        """Set `cause` and `state` anew from the states of a paused run and of its root run.

        `cause` is None if neither state is a reason to stop any more.
        """
        found = {_cause(state): state for state in states if state is not None}
        self.cause = next((cause for cause in _GRAVEST_FIRST if cause in found), None)
        self.state = None if self.cause is None else found[self.cause]

    def _found(self, cause: StopReason, reason: str) -> None:
        if self.cause is None:
            self.cause = cause
            self.left_s = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            self._stop(reason)

    async def _at_state(self) -> None:
        async with get_client() as client:
            while self.cause is None:
                await asyncio.sleep(self._ask_s)
                for run_id in self.run.run_ids:
                    try:
                        async with asyncio.timeout(_ANSWER_S):
                            state = (await client.read_flow_run(run_id)).state
                    except Exception as error:
                        _log.debug("the state of flow run %s is not known: %s", run_id, error)
                    else:
                        self._take(state)

    def _take(self, state: State | None) -> None:
        cause = None if state is None else _cause(state)
        if cause is not None and self.cause is None:
            self.state = state
            self._found(cause, f"the flow run was {cause.name.lower()}")

    async def _at_clock(self) -> None:
        if self._deadline is not None:
            await asyncio.sleep(max(0.0, self._deadline - time.monotonic()))
            self._found(StopReason.OUT_OF_TIME, "max_wall_time_s is over")

    async def _at_parent(self) -> None:
        if self.run.parent is not None:
            while os.getppid() == self.run.parent:
                await asyncio.sleep(_PARENT_S)
            self._found(StopReason.ORPHANED, "the process that had started this run is gone")


def _cause(state: State) -> StopReason | None:
    if state.is_cancelling() or state.is_cancelled():
        return StopReason.CANCELLED
    if state.is_paused():
        return StopReason.SUSPENDED if state.state_details.pause_reschedule else StopReason.PAUSED
    return None
