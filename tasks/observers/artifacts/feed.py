"""Collects the data of the artifacts: an observer that costs the driver's loop next to nothing.

Rules of this module:

- `on_step` only queues what a step changed; the publishing thread does the rest.
- Everything shown is durable: the driver notifies observers of a step after its commit.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tune_flows.core.decisions import Record
from tune_flows.core.events import DriverStarted, DriverStopped, ResultsReported, TrialsReopened
from tune_flows.core.objective import Objective
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Trial
from tune_flows.plots import Recorder
from tune_flows.runner.runner import Step
from tune_flows.tasks.observers.artifacts.summary import Standing

__all__ = ["Board"]

_OF_MANY = (DriverStarted, DriverStopped, TrialsReopened)
"""Records that may change several trials without naming them."""


@dataclass(frozen=True, slots=True)
class _News:
    """What one step changed."""

    standing: Standing
    trials: Mapping[str, Trial]
    records: Sequence[Record]


class Board:
    """An observer of the driver that collects what is known so far, for one reading thread."""

    def __init__(self, objective: Objective) -> None:
        self.standing = Standing()
        self.trials: dict[str, Trial] = {}
        """By id, in order of creation."""
        self.recorder = Recorder(objective)
        """Results since the driver began."""
        self.newest = Standing()
        """The standing after the latest change, whether `catch_up` has processed it or not."""
        self._news: deque[_News] = deque()
        self._began = False

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """Queue what has changed."""
        if not step.records:
            return
        if self._began and not any(isinstance(record, _OF_MANY) for record in step.records):
            ids = dict.fromkeys(getattr(record, "trial_id", None) for record in step.records)
            trials = {i: state.trials[i] for i in ids if i is not None and i in state.trials}
        else:
            trials = dict(state.trials)
        self._began = True
        records = [record for record in step.records if isinstance(record, ResultsReported | TrialsReopened)]
        self._note(_News(Standing.of(state), trials, records))

    def left_by(self, error: str) -> None:
        """Queue that `error` ended the driver; does nothing if the driver never reported a step."""
        if self._began:
            self._note(_News(replace(self.newest, left_by=error), {}, ()))

    def catch_up(self) -> bool:
        """Process what was queued since the last call; return whether there was anything."""
        any_news = bool(self._news)
        while self._news:
            news = self._news.popleft()
            self.trials.update(news.trials)
            self.recorder.add(news.records)
            self.standing = news.standing
        return any_news

    def _note(self, news: _News) -> None:
        self.newest = news.standing
        self._news.append(news)
