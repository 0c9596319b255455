"""Connects the driver, which reports steps, with the publisher of the artifacts, which reads the data."""

from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.plots import axes_of
from tune_flows.runner.runner import Step
from tune_flows.store import ObjectStore
from tune_flows.tasks.observers.artifacts.feed import Board
from tune_flows.tasks.observers.artifacts.history_loader import EarlierResults
from tune_flows.tasks.observers.artifacts.summary import Glance

__all__ = ["LiveArtifacts"]


class LiveArtifacts:
    """An observer of the driver; `live_artifacts` publishes what it sees.

    Args:
        name: Name of the experiment.
        store: The storage of the experiment.
        objective: The metric and its direction.
        space: The parsed `param_space`.
    """

    def __init__(self, name: str, store: ObjectStore, objective: Objective, space: ParamSpace) -> None:
        self.name = name
        self._objective = objective
        self._axes = axes_of(space)
        self._store = store
        self._board = Board(objective)
        self._earlier: EarlierResults | None = None

    def on_step(self, state: ExperimentState, step: Step) -> None:
        """Queue what has changed."""
        self._board.on_step(state, step)

    def left_by(self, error: BaseException) -> None:
        """Record that `error` ended the driver before it could report its stop."""
        self._board.left_by(type(error).__name__)

    @property
    def has_ended(self) -> bool:
        """Whether the driver has reported that the experiment has ended."""
        return self._board.newest.ended is not None

    def catch_up(self) -> bool:
        """Process what was queued (publishing thread only); return whether there was anything."""
        any_news = self._board.catch_up()
        if any_news and self._earlier is None:
            known = sum(trial.iteration for trial in self._board.trials.values())
            missing = known > self._board.recorder.results and self._objective.metric is not None
            self._earlier = EarlierResults(self._store, self._objective, read=missing)
        return any_news

    def glance(self, *, last: bool) -> Glance:
        """Return a snapshot to show.

        Args:
            last: Whether this is the last snapshot: if the experiment has ended, wait some seconds for the
                results of earlier runs.
        """
        recorder, standing = self._board.recorder, self._board.standing
        wait = last and standing.ended is not None and standing.left_by is None
        earlier = self._earlier.recorder(wait=wait) if self._earlier is not None else None
        return Glance(
            name=self.name,
            url=self._store.url,
            objective=self._objective,
            axes=self._axes,
            standing=standing,
            trials=self._board.trials,
            recorder=recorder.preceded_by(earlier) if earlier is not None else recorder,
        )

    def close(self) -> None:
        """Stop reading the results of earlier runs; call it after the last update."""
        if self._earlier is not None:
            self._earlier.give_up()
