"""Logs the ends of trials and each new best trial to the flow run.

The rate is limited: of ten thousand short trials, most ends are only counted.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

from tune_flows.core.decisions import FaultJudged, TrialDecided, TrialLaunched, TrialOverruled
from tune_flows.core.events import DriverStarted, ResultsReported, TrialCompleted
from tune_flows.core.objective import Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Result, Trial, TrialStatus
from tune_flows.results.tune_result import TuneResult, best_trial
from tune_flows.runner.runner import Step
from tune_flows.tasks.observers.progress import best_line
from tune_flows.tasks.rates import Rate, RateBound

__all__ = ["TrialNews", "tell_ended", "tell_errors"]

_ENDS = Rate(at_once=50, per_s=1)
_BESTS = Rate(at_once=3, per_s=0.1)
_MOST_ERRORS = 20

_MAY_END = (FaultJudged, TrialCompleted, TrialDecided, TrialOverruled)


class Log(Protocol):
    """A logger with `log`."""

    def log(self, level: int, msg: str, *args: Any) -> None:  # noqa: ANN401 - as in `logging`
        """Log a line."""
        ...


class TrialNews:
    """Logs what happens to the trials; an observer of the driver.

    Args:
        objective: The metric and its direction.
        log: Logger of the flow run.
        clock: Monotonic time in seconds.
    """

    def __init__(self, objective: Objective, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._objective = objective
        self._log = log
        self._has_checked = False
        self._ends = RateBound(_ENDS, clock)
        self._bests = RateBound(_BESTS, clock)
        self._counted = 0
        """Ends that were left out and already logged as a number."""
        self._over: set[str] = set()
        self._of_trials: dict[str, tuple[float, Result]] = {}
        """The best result of each trial that this session has observed since its first iteration."""
        self._best = -math.inf
        """The best score that was logged, or known before this session."""
        self._has_better = False

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """Log what is new in a loop iteration that is now durable."""
        for record in step.records:
            if isinstance(record, DriverStarted):
                best = best_trial(state, self._objective)
                self._best = self._objective.score(best.last_result) if best else -math.inf
                self._tell_known(state)
            elif isinstance(record, TrialLaunched):
                self._over.discard(record.trial_id)
            elif isinstance(record, ResultsReported):
                self._hear(record)
            elif isinstance(record, _MAY_END):
                self._look(state.trials[record.trial_id])
                self._check_once(state)
        if self._has_better and self._bests.is_open:
            self._tell_best(state)

    def _tell_known(self, state: ExperimentState) -> None:
        """Log what is known from earlier sessions, unless the experiment is new."""
        over = sum(trial.status.is_final for trial in state.trials.values())
        iterations = sum(trial.iteration for trial in state.trials.values())
        if over or iterations:
            text = "carries on: %d trials are over, %d iterations are known"
            self._log.log(logging.INFO, text, over, iterations)

    def _check_once(self, state: ExperimentState) -> None:
        """Once a trial has ended, warn of `stop` metrics never reported so far, such as misspelled ones."""
        if self._has_checked or not self._over or not state.reported:
            return
        self._has_checked = True
        for name in state.rules.stop:
            if name not in state.reported:
                text = "stop: %s=%s was never reported so far and stops nothing. Reported: %s."
                self._log.log(
                    logging.WARNING, text, name, state.rules.stop[name], ", ".join(sorted(state.reported))
                )

    def _hear(self, reported: ResultsReported) -> None:
        for result in reported.results:
            score = self._objective.score(result)
            self._has_better |= score > self._best
            known = self._of_trials.get(reported.trial_id)
            if (known is None and result.iteration == 1) or (known is not None and not score <= known[0]):
                self._of_trials[reported.trial_id] = (score, result)

    def _look(self, trial: Trial) -> None:
        """Log the end of the trial if it has ended."""
        if not trial.status.is_final or trial.trial_id in self._over:
            return
        self._over.add(trial.trial_id)
        best = self._of_trials.pop(trial.trial_id, None)
        if self._ends.passes():
            left_out, self._counted = self._ends.left_out - self._counted, self._ends.left_out
            more = f" ({left_out:,} other trials ended meanwhile)" if left_out else ""
            self._log.log(logging.INFO, "%s%s", self._end_of(trial, best[1] if best else None), more)

    def _end_of(self, trial: Trial, best: Result | None) -> str:
        """Return a line that says why the trial ended, and with which value."""
        iterations = f"{trial.iteration} iteration{'' if trial.iteration == 1 else 's'}"
        if trial.status is TrialStatus.ERRORED:
            return f"{trial.trial_id} failed after {iterations}: {_first_line(trial.error)}"
        line = f"{trial.trial_id} ended after {iterations} ({trial.reason or 'done'})"
        metric, last = self._objective.metric, trial.last_result
        if metric is None or last is None:
            return line
        line += f": {metric}={_short(last.value(metric))}"
        if best is None or not self._objective.score(best) > self._objective.score(last):
            return line
        return f"{line}, at best {_short(best.value(metric))} at iteration {best.iteration}"

    def _tell_best(self, state: ExperimentState) -> None:
        self._has_better = False
        best = best_trial(state, self._objective)
        score = self._objective.score(best.last_result) if best else -math.inf
        if score > self._best and self._bests.passes():
            self._best = score
            self._log.log(logging.INFO, "%s", best_line(best, self._objective))


def tell_ended(name: str, state: ExperimentState, log: Log) -> None:
    """Log that an earlier run has already finished the experiment."""
    text = "%s has ended already (%s): this is its result. Another name begins another experiment."
    log.log(logging.INFO, text, name, state.ended)


def tell_errors(result: TuneResult, log: Log) -> None:
    """Log the errors of failed trials, up to a readable number of them."""
    for trial_id, error in list(result.errors.items())[:_MOST_ERRORS]:
        log.log(logging.WARNING, "%s failed: %s", trial_id, error)
    more = len(result.errors) - _MOST_ERRORS
    if more > 0:
        log.log(logging.WARNING, "... and %d more trials failed; see the result, or the storage.", more)


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
