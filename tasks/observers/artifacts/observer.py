"""What the artifacts of a run show: told by the driver on one side, asked by their publisher on the other."""

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
        name: Of the experiment.
        store: Where the experiment lies.
        objective: What is tuned.
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
        """Note what has changed."""
        self._board.on_step(state, step)

    def left_by(self, error: BaseException) -> None:
        """Note that the driver is gone, and did not say so itself."""
        self._board.left_by(type(error).__name__)

    @property
    def has_ended(self) -> bool:
        """Whether the driver told that the experiment has ended."""
        return self._board.newest.ended is not None

    def catch_up(self) -> bool:
        """For the thread that shows it: take in what was noted; whether there was anything."""
        any_news = self._board.catch_up()
        if any_news and self._earlier is None:
            known = sum(trial.iteration for trial in self._board.trials.values())
            missing = known > self._board.recorder.results and self._objective.metric is not None
            self._earlier = EarlierResults(self._store, self._objective, read=missing)
        return any_news

    def glance(self, *, last: bool) -> Glance:
        """What there is to show.

        Args:
            last: Whether it is the last time: if the experiment has ended, it is worth waiting for the
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
        """Whoever shows it is done: what is still read of earlier runs is not needed any more."""
        if self._earlier is not None:
            self._earlier.give_up()
