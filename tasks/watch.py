"""What ends the session of a run from outside, beside signals: its state at the API, its time, its parent.

Prefect ends only processes that a worker or `serve` started, and only while that one lives. A run that was
started as a script, or whose worker is gone, must look for itself.

Rules of this module:

- The first reason counts. It is told to `stop`; what the run's state becomes is the flow's affair.
- An API that does not answer is no reason to end: it is asked again.
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
"""Seconds between two looks at the run's state."""
_ANSWER_S = 10.0
"""Seconds within which the API must answer to be heard; the client itself tries for a minute."""
_PARENT_S = 1.0
"""Seconds between two looks at the parent process."""


class StopReason(Enum):
    """Why the session was stopped."""

    CANCELLED = auto()
    """Somebody cancelled the run."""
    SUSPENDED = auto()
    """Somebody suspended the run: its process is to end; on resume it is started again."""
    PAUSED = auto()
    """Somebody paused the run: its process waits, without resources."""
    ASKED = auto()
    """Somebody asked the driver to stop, through the storage (`tune-flows stop`)."""
    OUT_OF_TIME = auto()
    """`max_wall_time_s` is over."""
    ORPHANED = auto()
    """The worker that had started this process, and would report its end, is gone."""


_GRAVEST_FIRST = (StopReason.CANCELLED, StopReason.SUSPENDED, StopReason.PAUSED)
"""Of those that states of runs are, where two runs differ."""


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """What is looked at."""

    run_ids: tuple[UUID, ...]
    """The flow run, and the one that it is part of."""
    here: tuple[UUID, ...]
    """Those of them that this process runs: one that `run_deployment` began is part of another's."""
    parent: int | None
    """The process that started this one to run it; None: the user did."""

    @classmethod
    def present(cls) -> "WatchedRun":
        """The flow run that the caller stands in."""
        own, root = flow_run.id, flow_run.root_flow_run_id
        ids = tuple(UUID(run_id) for run_id in dict.fromkeys((own, root)) if run_id)
        context = FlowRunContext.get()
        run = context.flow_run if context is not None else None
        here = ids if run is None or run.deployment_id is None else ids[:1]
        # A worker names the run to the process that it starts for it, `serve` starts it by multiprocessing;
        # both report its cancellation themselves. A process that the user starts from within such a run
        # inherits these variables, but makes a flow run of its own.
        reported = os.environ.get("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS", "").lower() == "false"
        named = os.environ.get("PREFECT__FLOW_RUN_ID") in (own, root)
        managed = reported and (named or multiprocessing.parent_process() is not None)
        return cls(ids, here, os.getppid() if managed else None)

    def watched_over(self) -> AbstractContextManager[None]:
        """Have the run's end reported where nobody else does it.

        That is where this process is killed with the one that had started it; and in a script, where the run
        or the one that it is part of was cancelled too late for a watch to see it.
        """
        if self.parent is None:
            confirm_cancelled_at_exit(*self.here)
            return nullcontext()
        return watched_over(*self.here, run_count=flow_run.run_count)


class Watch:
    """Looks for a reason to end the session, in the event loop of the driver.

    Args:
        run: What is looked at.
        stop: Called with the reason, once.
        deadline: Time (monotonic, s) at which the session is to end; None: none.
        ask_s: Seconds between two looks at the run's state.
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
        """Why it was stopped; None: it was not."""
        self.state: State | None = None
        """The state of the run that was the cause."""
        self.left_s: float | None = None
        """Seconds that were left to the deadline when it was stopped; None: there is none."""
        self.run = run
        """What is looked at."""
        self._stop = stop
        self._deadline = deadline
        self._ask_s = ask_s

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Look while the block runs."""
        looks = [asyncio.create_task(look()) for look in (self._at_state, self._at_clock, self._at_parent)]
        try:
            yield
        finally:
            for look in looks:
                look.cancel()
            await asyncio.wait(looks)

    def look_again(self, states: Iterable[State | None]) -> None:
        """Take what has become of a run that was paused, and of the one that it is part of.

        `cause` is None if neither is a reason any more.
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
