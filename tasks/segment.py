"""A segment of a trial as a Prefect task run: it retries when its trial is tried again."""

import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.states import Completed

from tune_flows.executors.segment import Segment, SegmentFault

__all__ = ["quiet_segments", "run_as_task"]

_MOST_RETRIES = 10_000
"""How often a trial is tried again is the runner's decision; Prefect's own limit must not come before it."""


async def _is_tried_again(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, SegmentFault) and error.will_retry


@task(
    name="segment",
    task_run_name="{title}",
    retries=_MOST_RETRIES,
    retry_condition_fn=_is_tried_again,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def _segment(title: str, segment: Segment) -> State[None]:
    try:
        done = await segment.execute()
    finally:
        _tag_present_run(segment.trial_ids)
    return Completed(message=done)


def _tag_present_run(trial_ids: Iterable[str]) -> None:
    """Tag the task run by the trials it served; its next state carries the tags to the server.

    Tags that are there from the beginning cost a request for their concurrency limits before each run, and a
    client with a thread of its own for each new tag: two seconds for the first segment of every trial.
    """
    context = TaskRunContext.get()
    if context is not None:
        known = context.task_run.tags
        known.extend(trial_id for trial_id in trial_ids if trial_id not in known)


async def run_as_task(segment: Segment) -> None:
    """Run the segment as a task run of the present flow run, named and tagged by the trials that it served.

    Raises:
        SegmentFault: A trial faulted and is not tried again in this task run.
    """
    await _segment(segment.title, segment)


@contextmanager
def quiet_segments() -> Generator[None]:
    """Keep "Finished in state Completed()" of every single segment out of the logs; faults stay."""

    def is_news(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or getattr(record, "task_name", None) != _segment.name

    logger = logging.getLogger("prefect.task_runs")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
