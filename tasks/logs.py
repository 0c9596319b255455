"""Sends the output of trials to the logs of their task runs, and library logs to that of the flow run."""

import contextvars
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from copy import copy
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler
from prefect.logging.loggers import flow_run_logger

from tune_flows.tasks.refcounted import refcounted
from tune_flows.worker.output import Line

__all__ = ["TaskRunLog", "flow_logger", "is_of_trial", "library_logs_in_run"]

_library = logging.getLogger("tune_flows")
_TRIALS = "tune_flows.trials"
"""Logger to which the executor writes the output of trials while there is no task run."""
_STREAMS = ("stdout", "stderr")
_OF_TRIAL = "tune_flows_trial"
_TICK_S = 1e-6
_RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class TaskRunLog:
    """The log of the current task run, for the output of its trials; can be written after the run's end, too.

    Printed output is logged like any other log line of a task run. A log record of a trial keeps the name of
    its logger at the API; the console shows the task run's name instead, so there it precedes the text.

    Args:
        trial_id: The trial that the task run is named after; lines of other trials begin with their ids.
    """

    def __init__(self, trial_id: str) -> None:
        self._logger, self._extra = _taken_apart(get_run_logger())
        self._trial_id = trial_id
        self._newest = time.time()

    def wants(self, level: int) -> bool:
        """Return whether Prefect logs this level; see `PREFECT_LOGGING_LEVEL`."""
        return self._logger.isEnabledFor(level)

    def write(self, line: Line) -> None:
        """Log a line, with the time at which it was printed."""
        of_other = "" if line.trial_id in ("", self._trial_id) else f"{line.trial_id}: "
        record = self._record(line, of_other + line.text)
        if line.source not in _STREAMS and not line.left_out:
            at_api = copy(record)
            at_api.name = line.source
            for handler in self._logger.handlers if self._logger.filter(at_api) else ():
                if isinstance(handler, APILogHandler) and line.level >= handler.level:
                    handler.handle(at_api)
            record.msg, record.send_to_api = f"{of_other}{line.source}: {line.text}", False
        self._logger.handle(record)

    def _record(self, line: Line, text: str) -> logging.LogRecord:
        # The API sorts by time: so times are unique, and a wrong clock does not change the order.
        self._newest = max(self._newest + _TICK_S, min(line.created, time.time()))
        extra = {**self._extra, _OF_TRIAL: line.trial_id or self._trial_id}
        record = self._logger.makeRecord(self._logger.name, line.level, "", 0, text, (), None, extra=extra)
        record.created, record.msecs = self._newest, self._newest % 1 * 1000
        return record


def is_of_trial(record: logging.LogRecord) -> bool:
    """Return whether the record comes from a trial."""
    return hasattr(record, _OF_TRIAL)


def flow_logger() -> _RunLogger:
    """Return the current flow run's logger; in a flow called by a task, `get_run_logger` gives the task's."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return get_run_logger()
    return flow_run_logger(context.flow_run, context.flow)


def _present_run() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context is not None and context.flow_run is not None else None


def _taken_apart(logger: _RunLogger) -> tuple[logging.Logger, dict[str, Any]]:
    """Return a run's logger, and the attributes that it adds to each record."""
    if isinstance(logger, logging.LoggerAdapter):
        return logger.logger, dict(logger.extra or {})
    return logger, {}


class _ToRun(logging.Handler):
    """Passes records to the logger of a run, which sends them to the Prefect API."""

    def __init__(self) -> None:
        super().__init__()
        self._logger, self._extra = _taken_apart(flow_logger())
        self._run_id = _present_run()
        self._context = contextvars.copy_context()

    def filter(self, record: logging.LogRecord) -> bool:
        """Accept warnings and output of trials, unless they belong to another run that has such a handler."""
        if record.levelno < logging.WARNING and record.name != _TRIALS:
            return False
        run_id = _present_run()
        listening = {handler._run_id for handler in _library.handlers if isinstance(handler, _ToRun)}
        return run_id == self._run_id or run_id not in listening

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's message at its level, with its traceback if there is one."""
        if self._logger.disabled or record.levelno < self._logger.getEffectiveLevel():
            return
        told = self._logger.makeRecord(
            *(self._logger.name, record.levelno, record.pathname, record.lineno),
            *(record.getMessage(), (), record.exc_info, record.funcName, self._extra),
        )
        # Not by `log` or `handle`: a logger of Python 3.13.4 drops what is logged while it handles a record.
        # In the run's context, as threads without it, such as the journal's, have other Prefect settings.
        self._context.copy().run(self._logger.callHandlers, told)


@contextmanager
def library_logs_in_run() -> Generator[None]:
    """Send warnings of tune_flows, such as of an unresponsive storage, to the current run's log.

    With several runs at a time, each gets its own; a warning that belongs to no known run goes to all.
    """
    handler = _ToRun()
    with _library_is_heard():
        _library.addHandler(handler)
        try:
            yield
        finally:
            _library.removeHandler(handler)


@refcounted
@contextmanager
def _library_is_heard() -> Generator[None]:
    of_trials = logging.getLogger(_TRIALS)
    propagated, _library.propagate = _library.propagate, False  # else the console would show each line twice
    level = of_trials.level
    of_trials.setLevel(logging.INFO)
    try:
        yield
    finally:
        _library.propagate = propagated
        of_trials.setLevel(level)
