"""Runs the flow for a program outside Prefect, with the library's error messages instead of tracebacks."""

import logging
from typing import Any, cast

from prefect import Flow
from prefect.exceptions import CancelledRun

from tune_flows.core.errors import TuneError
from tune_flows.results.tune_result import TuneResult

__all__ = ["run_flow"]


def run_flow(
    flow: Flow[Any, TuneResult], parameters: dict[str, Any], *, tracebacks: bool
) -> TuneResult | None:
    """Run the flow and return its result; None: it was cancelled or stopped before the experiment had ended.

    Args:
        flow: `tune`.
        parameters: Parameters of the flow.
        tracebacks: Whether the console shows the traceback of an error that the library raised on purpose;
            the run's log at the API always has it.

    Raises:
        TuneError: As `tune`.
    """
    console = [] if tracebacks else _on_console()
    for handler in console:
        handler.addFilter(_is_news)
    try:
        return cast("TuneResult", flow(**parameters))
    except CancelledRun:
        return None
    finally:
        for handler in console:
            handler.removeFilter(_is_news)


def _on_console() -> list[logging.Handler]:
    """Return the handlers that write to the terminal; Prefect adds its own to the root logger."""
    names = ("", "prefect", "prefect.flow_runs")
    every = {handler for name in names for handler in logging.getLogger(name).handlers}
    return [handler for handler in every if isinstance(handler, logging.StreamHandler)]


def _is_news(record: logging.LogRecord) -> bool:
    """Return False for the traceback of a TuneError, which the caller reports in one line."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, TuneError)
