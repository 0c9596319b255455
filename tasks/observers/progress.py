"""Live progress: a small display on a terminal, periodic log lines elsewhere."""

import contextvars
import logging
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tune_flows.core.objective import Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Trial
from tune_flows.results.tune_result import best_trial
from tune_flows.runner.runner import Step

__all__ = ["Progress", "best_line", "live_progress"]

_LOG_EVERY_S = 10.0
_display = threading.Lock()
"""Held by the run that shows the live display."""


class InfoLog(Protocol):
    """A logger with `info`."""

    def info(self, msg: str, *args: Any) -> None:  # noqa: ANN401 - as in `logging`
        """Log a line."""
        ...


@dataclass(slots=True)
class Progress:
    """Status and best trial of a running experiment, as text; an observer of the driver."""

    name: str
    objective: Objective
    began: float = field(default_factory=time.monotonic)
    _state: ExperimentState | None = None

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """Store the state, which other threads may read."""
        del step
        self._state = state

    def status(self) -> str:
        """Return the number of trials by status, and the elapsed time."""
        seconds = int(time.monotonic() - self.began)
        elapsed = f"{seconds // 60:02d}:{seconds % 60:02d}"
        if self._state is None:
            return f"{self.name}: starting, {elapsed}"
        state = self._state.copy()  # the driver changes the state meanwhile
        counts = state.by_status()
        final = sum(count for status, count in counts.items() if status.is_final)
        by_status = ", ".join(f"{count} {status.lower()}" for status, count in counts.items() if count)
        total = "unlimited" if state.target is None else str(state.target)
        iterations = sum(trial.iteration for trial in state.trials.values())
        return (
            f"{self.name}: {final}/{total} trials done ({by_status or 'starting'}), "
            f"{iterations} iterations, {elapsed}"
        )

    def best_line(self) -> str:
        """Return a line about the best trial so far."""
        best = best_trial(self._state.copy(), self.objective) if self._state is not None else None
        return best_line(best, self.objective)


def best_line(best: Trial | None, objective: Objective) -> str:
    """Return a line about the best trial so far, with its metric and its configuration."""
    if best is None or objective.metric is None or best.last_result is None:
        return "best so far: none yet"
    value = best.last_result.value(objective.metric)
    return (
        f"best so far: {objective.metric}={value:.6g} "
        f"({best.trial_id}, iteration {best.iteration}) {_short(best.config)}"
    )


@contextmanager
def live_progress(progress: Progress, log: InfoLog) -> Generator[None]:
    """Show progress while the block runs: live on a terminal, otherwise at most one log line in ten seconds.

    A terminal has one live display at a time: of concurrent runs, only the first shows one.
    """
    if sys.stderr.isatty() and _display.acquire(blocking=False):
        try:
            with _on_terminal(progress):
                yield
        finally:
            _display.release()
    else:
        with _as_log_lines(progress, log):
            yield
    log.info("%s", progress.status())
    log.info("%s", progress.best_line())


def _short(config: dict[str, Any]) -> str:
    """Return a configuration as one line of at most 100 characters."""
    parts = (
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in config.items()
    )
    text = ", ".join(parts)
    return text if len(text) <= 100 else f"{text[:97]}..."


@contextmanager
def _on_terminal(progress: Progress) -> Generator[None]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    def picture() -> Group:
        return Group(Text(progress.status(), style="bold"), Text(f"  {progress.best_line()}"))

    console = Console(stderr=True)
    live = Live(console=console, get_renderable=picture, refresh_per_second=4, transient=True)
    with _logs_above(console), live:
        yield


@contextmanager
def _logs_above(console: Any) -> Generator[None]:  # noqa: ANN401 - a rich Console
    """Print log lines of Prefect above the live display instead of into it."""
    loggers = (logging.getLogger(), logging.getLogger("prefect"))  # which: depends on Prefect's configuration
    handlers: list[Any] = [h for logger in loggers for h in logger.handlers if hasattr(h, "console")]
    before = [handler.console for handler in handlers]
    for handler in handlers:
        handler.console = console
    try:
        yield
    finally:
        for handler, console_before in zip(handlers, before, strict=True):
            handler.console = console_before


@contextmanager
def _as_log_lines(progress: Progress, log: InfoLog) -> Generator[None]:
    over = threading.Event()

    def tell() -> None:
        told = ""
        while not over.wait(_LOG_EVERY_S):
            line = progress.status()  # without the best trial, which is logged separately
            if line != told:
                log.info("%s", line)
                told = line

    context = contextvars.copy_context()  # the run's settings determine where log lines go
    thread = threading.Thread(target=context.run, args=(tell,), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
