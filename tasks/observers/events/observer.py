"""An observer of the driver that decides which events to send, and when."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.events import emit_event

from tune_flows.core.decisions import FaultJudged, Record, TrialDecided, TrialLaunched, TrialOverruled
from tune_flows.core.events import (
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    ResultsReported,
    TrialCompleted,
    TrialPaused,
)
from tune_flows.core.objective import Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, TrialStatus
from tune_flows.results.tune_result import TuneResult, best_trial, tune_result
from tune_flows.runner.runner import Step
from tune_flows.tasks.observers.events.content import PREFIX, About, first_line, result_payload, trial_payload
from tune_flows.tasks.rates import Rate, RateBound

__all__ = ["RATES", "ExperimentEvents"]

_log = logging.getLogger(__name__)

RATES = {
    "trial.errored": Rate(at_once=500, per_s=5),  # all of them, unless thousands of trials fail
    "experiment.best-changed": Rate(at_once=10, per_s=0.5),
}
"""Rate limits of the kinds that do not use the default."""
_RATE = Rate(at_once=20, per_s=1)


class Emit(Protocol):
    """Sends an event; Prefect's `emit_event`."""

    def __call__(
        self,
        event: str,
        resource: dict[str, str],
        *,
        related: list[dict[str, str]] | None,
        payload: dict[str, Any] | None,
        id: UUID | None,
    ) -> object:
        """Send the event, possibly later."""
        ...


class ExperimentEvents:
    """Sends Prefect events about an experiment; an observer of the driver.

    Args:
        url: URL of the experiment.
        objective: The metric and its direction.
        constants: Constants of its search space, by path; they may name the data that it uses.
        storage_block: Name of the block with which its storage is accessed; None: no block is needed.
        emit: Sends an event.
        clock: Monotonic time in seconds.
    """

    def __init__(
        self,
        url: str,
        objective: Objective,
        *,
        constants: Mapping[str, Any],
        storage_block: str | None = None,
        emit: Emit = emit_event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.end_is_news = False
        """Whether the experiment has ended and no event has said so yet."""
        self._about = About(url, constants)
        self._objective = objective
        self._storage_block = storage_block
        self._emit = emit
        self._bounds: defaultdict[str, RateBound] = defaultdict(lambda: RateBound(_RATE, clock))
        self._bounds.update((kind, RateBound(rate, clock)) for kind, rate in RATES.items())
        self._holds: dict[str, int] = {}
        """The lease of each trial that holds a worker."""
        self._over: set[str] = set()
        """Trials for whose end an event was sent."""
        self._best = -math.inf
        """The best score that was sent, or known before this session."""
        self._has_better = False

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """Send events for what is new in a loop iteration that is now durable."""
        for record in step.records:
            self._tell(state, record)
        if self._has_better and self._bounds["experiment.best-changed"].is_open:
            self._tell_best(state)
        self.end_is_news = state.ended is not None

    @contextmanager
    def ending(self, state: ExperimentState, result: TuneResult) -> Generator[None]:
        """Send that the experiment has finished, or failed if the block raises, unless sent before."""
        if not self.end_is_news:
            yield
            return
        about_it = {"ended": state.ended, "left_out": self._left_out()}
        # A driver cannot know whether an earlier one sent the event; with the same id it is the same event.
        same = uuid5(NAMESPACE_URL, f"{self._about.url}#{state.epoch}@{state.session_began}")
        try:
            yield
        except Exception as error:
            about_it["error"] = first_line(str(error))
            self._of_experiment("failed", result_payload(result) | about_it, same)
            raise
        self._of_experiment("finished", result_payload(result) | about_it, same)

    def _tell(self, state: ExperimentState, record: Record) -> None:
        match record:
            case DriverStarted():
                best = best_trial(state, self._objective)
                self._best = self._objective.score(best.last_result) if best else -math.inf
                self._of_experiment("started" if record.epoch == 1 else "resumed", {"target": state.target})
            case DriverStopped():
                about_it = {"reason": record.reason, "left_out": self._left_out()}
                self._of_experiment("stopped", {"num_trials": state.by_status()} | about_it)
            case TrialLaunched():
                self._holds[record.trial_id] = record.lease
                self._over.discard(record.trial_id)
                self._of_trial("started" if record.lease == 1 else "resumed", state, record.trial_id)
            case ResultsReported():
                scores = (self._objective.score(result) for result in record.results)
                self._has_better |= any(score > self._best for score in scores)
            case CheckpointSaved() | TrialPaused() | TrialCompleted():
                if self._holds.get(record.trial_id) == record.lease:
                    self._of_worker(state, record)
            case FaultJudged() | TrialOverruled() | TrialDecided():
                self._judged(state, record)
            case _:
                pass

    def _of_worker(
        self, state: ExperimentState, event: CheckpointSaved | TrialPaused | TrialCompleted
    ) -> None:
        """Send the event for a report of the worker that the trial holds."""
        if isinstance(event, CheckpointSaved):
            if not event.interim:
                url = self._about.checkpoint_url(event.checkpoint)
                self._of_trial("checkpointed", state, event.trial_id, checkpoint_url=url)
            return
        del self._holds[event.trial_id]
        if state.trials[event.trial_id].status is TrialStatus.TERMINATED:
            self._ended("terminated", state, event.trial_id)
        elif state.stopped is None:
            self._of_trial("paused", state, event.trial_id)

    def _judged(self, state: ExperimentState, record: FaultJudged | TrialOverruled | TrialDecided) -> None:
        """Send the event for a decision that ends a trial, if this one does."""
        if isinstance(record, FaultJudged):
            self._holds.pop(record.trial_id, None)
            if not record.retry:
                self._ended("errored", state, record.trial_id)
        elif record.action is Action.STOP and record.trial_id not in self._holds:
            self._ended("terminated", state, record.trial_id)

    def _ended(self, how: str, state: ExperimentState, trial_id: str) -> None:
        if trial_id in self._over:
            return
        self._over.add(trial_id)
        trial = state.trials[trial_id]
        error = trial.error and first_line(trial.error)
        self._of_trial(how, state, trial_id, reason=trial.reason, error=error)

    def _tell_best(self, state: ExperimentState) -> None:
        self._has_better = False
        result = tune_result(self._about.url, state, self._objective, self._storage_block)
        before = self._best
        best = state.trials.get(result.best_trial_id or "")
        score = self._objective.score(best.last_result) if best else -math.inf
        if score > before and self._bounds["experiment.best-changed"].passes():
            self._best = score
            previous = None if before == -math.inf else self._objective.value(before)
            self._of_experiment("best-changed", result_payload(result) | {"previous_best_value": previous})

    def _left_out(self) -> dict[str, int]:
        return {kind: bound.left_out for kind, bound in self._bounds.items() if bound.left_out}

    def _of_experiment(self, what: str, payload: dict[str, Any], event_id: UUID | None = None) -> None:
        payload = {"experiment_url": self._about.url} | payload
        self._send(f"experiment.{what}", self._about.experiment(), self._about.data, payload, event_id)

    def _of_trial(self, what: str, state: ExperimentState, trial_id: str, **more: Any) -> None:  # noqa: ANN401 - JSON
        """Send an event about a trial, if the rate limit allows it."""
        bound = self._bounds[f"trial.{what}"]
        if not bound.passes():
            return
        payload = trial_payload(self._about, state.trials[trial_id]) | more | {"left_out": bound.left_out}
        related = [self._about.related_experiment(), *self._about.data]
        self._send(f"trial.{what}", self._about.trial(trial_id), related, payload)

    def _send(
        self,
        what: str,
        resource: dict[str, str],
        related: list[dict[str, str]],
        payload: dict[str, Any],
        event_id: UUID | None = None,
    ) -> None:
        try:
            self._emit(f"{PREFIX}.{what}", resource, related=related, payload=payload, id=event_id)
        except Exception as error:  # of any kind: an event must not end the run
            _log.warning("the event %s.%s could not be sent: %s", PREFIX, what, error)
