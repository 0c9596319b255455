"""Runs a segment of a trial as a Prefect task run, which is retried when its trial is retried.

The runner chooses the delay before a retry; it comes with the fault. Prefect shows it as AwaitingRetry.
"""

import logging
from collections.abc import Coroutine, Generator, Iterable
from contextlib import contextmanager
from copy import copy
from typing import Any

from prefect import Task, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.exceptions import Abort, Pause
from prefect.states import Completed
from pydantic import PrivateAttr

from tune_flows.executors.ray.executor import run_plainly
from tune_flows.executors.ray.segment import Segment, SegmentFault
from tune_flows.tasks.logs import TaskRunLog, is_of_trial

__all__ = ["quiet_segments", "run_as_task"]

_log = logging.getLogger(__name__)
_MOST_RETRIES = 10_000
"""Limit of a task run's retries; beyond it, a trial (whose limit is the runner's) goes without a task run."""


class _SegmentRun(TaskRun):
    """A task run whose retry states carry a message with the cause; the engine gives them none."""

    _cause: str | None = PrivateAttr(default=None)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any field of a task run
        if name == "state" and value.name in ("AwaitingRetry", "Retrying"):
            value.message = value.message or self._cause
        super().__setattr__(name, value)

    def blame(self, cause: str) -> None:
        """Set the message for the states of the next retry."""
        self._cause = cause


class _SegmentTask(Task[[str, Segment], Coroutine[Any, Any, State[None]]]):
    """The task of a segment; copied for each segment, as the delay before a retry depends on the fault."""

    async def create_local_run(self, *args: Any, **kwargs: Any) -> TaskRun:  # noqa: ANN401 - the engine's
        """Create the task run for the engine, as a `_SegmentRun`."""
        run = await super().create_local_run(*args, **kwargs)
        return _SegmentRun.model_construct(run.model_fields_set, **dict(run))


class _SegmentBroken(Exception):
    """The segment itself raised, which is a bug: running it again without a task run would not help."""


async def _is_tried_again(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, SegmentFault) and error.will_retry


async def _execute(title: str, segment: Segment) -> State[None]:
    segment.outlet.log = TaskRunLog(segment.trial_ids[0])
    try:
        done = await segment.execute()
    except SegmentFault as fault:
        _tell(fault)
        raise
    except Exception as error:
        raise _SegmentBroken(str(error)) from error
    finally:
        _tag_present_run(segment.trial_ids)
    return Completed(message=done)


_segment = _SegmentTask(
    _execute,
    name="segment",
    task_run_name="{title}",
    retries=_MOST_RETRIES,
    retry_condition_fn=_is_tried_again,
    cache_policy=NO_CACHE,
    persist_result=False,
)


def _tell(fault: SegmentFault) -> None:
    """Log the fault in the task run; if it is retried, set cause and delay of the retry for the engine."""
    log, context = get_run_logger(), TaskRunContext.get()
    if not fault.will_retry:
        log.error("%s\n%s", fault, fault.traceback)
        return
    log.warning("%s; tried again", fault)
    if context is not None and isinstance(context.task_run, _SegmentRun):
        context.task_run.blame(str(fault))
        context.task.retry_delay_seconds = fault.retry_delay_s or None


def _tag_present_run(trial_ids: Iterable[str]) -> None:
    """Tag the task run with the trials it served; its next state carries the tags to the server.

    Tags set from the beginning would cost a request for their concurrency limits before each run, and a
    client with its own thread for each new tag: two seconds for the first segment of every trial.
    """
    context = TaskRunContext.get()
    if context is not None:
        known = context.task_run.tags
        known.extend(trial_id for trial_id in trial_ids if trial_id not in known)


async def run_as_task(segment: Segment) -> None:
    """Run the segment as a task run of the current flow run, named and tagged by the trials that it served.

    If Prefect does not let the task run start, as in a suspended flow run, the segment runs without one.

    Raises:
        SegmentFault: A trial faulted and is not retried in this task run.
    """
    try:
        await copy(_segment)(segment.title, segment)
    except (SegmentFault, _SegmentBroken):
        raise
    except Pause:
        await run_plainly(segment)
    except (Abort, Exception) as error:
        _log.warning("%s goes on without a task run, which Prefect could not make: %s", segment.title, error)
        await run_plainly(segment)


@contextmanager
def quiet_segments() -> Generator[None]:
    """Keep "Finished in state Completed()" of each segment out of the logs; faults are still logged."""

    def is_news(record: logging.LogRecord) -> bool:
        of_segment = getattr(record, "task_name", None) == _segment.name
        return record.levelno > logging.INFO or not of_segment or is_of_trial(record)

    logger = logging.getLogger("prefect.task_runs")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
