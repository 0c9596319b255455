"""What the library logs, in the log of the flow run."""

import contextvars
import logging
from collections.abc import Generator
from contextlib import contextmanager

from prefect import get_run_logger

__all__ = ["library_logs_in_run"]


class _ToRun(logging.Handler):
    """Hands records on to the logger of a run, which sends them to the Prefect API."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._run_logger = get_run_logger()
        self._context = contextvars.copy_context()

    def emit(self, record: logging.LogRecord) -> None:
        """Log the message of the record, at its level."""
        # Threads that know nothing of the run, such as the journal's, would use other settings of Prefect.
        self._context.copy().run(self._run_logger.log, record.levelno, "%s", record.getMessage())


@contextmanager
def library_logs_in_run() -> Generator[None]:
    """Warnings of tune_flows, such as of a storage that does not answer, go to the log of the present run."""
    logger = logging.getLogger("tune_flows")
    handler = _ToRun()
    propagated, logger.propagate = logger.propagate, False  # else the console would show each line twice
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
