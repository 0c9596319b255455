"""The protocol of search algorithms."""

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any, ClassVar, Final

from tune_flows.core.objective import Objective
from tune_flows.core.policy import Policy
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial

__all__ = ["FINISHED", "Finished", "SearchAlg"]


class Finished(Enum):
    """Type of the `FINISHED` mark."""

    FINISHED = "FINISHED"


FINISHED: Final = Finished.FINISHED
"""What `suggest` returns when it has nothing left to propose, ever."""


class SearchAlg(Policy, ABC):
    """Proposes configurations and learns from what became of them.

    The runner calls it in the order of the journal, so the same history gives the same suggestions. Fields
    and private attributes survive a restart (`Policy`); nothing else does.

    A trial that has completed or failed may come back: the user extended the experiment, or has failed trials
    run again. Then its results, its completion or its error are told as if it had not ended before.
    """

    needs_metric: ClassVar[bool] = False
    """Whether it learns from the metric; a run without a metric is then refused."""

    @abstractmethod
    def setup(self, *, space: ParamSpace, objective: Objective, seed: int) -> None:
        """Prepare for an experiment; called before anything else, on resume before `load_state`.

        Args:
            space: What to search.
            objective: The metric and its direction.
            seed: Entropy of the experiment, for an algorithm whose own `seed` is None.

        Raises:
            InvalidParameter: This algorithm cannot search this space.
        """

    @abstractmethod
    def suggest(self, trial_id: str) -> dict[str, Any] | Finished | None:
        """A configuration for a new trial, None for "nothing right now", or `FINISHED`.

        After None it is asked again when a trial has reported or ended. With no trial that could, None ends
        the run with a `PolicyError`.
        """

    def variants(self, space: ParamSpace) -> int:
        """Trials that one sample stands for: `num_samples` is multiplied by it (a grid has many)."""
        del space
        return 1

    def on_trial_result(self, trial: Trial, result: Result) -> None:
        """A training iteration has been reported; `trial` includes it already."""

    def on_trial_complete(self, trial: Trial) -> None:
        """The trial ended in order or was stopped; `trial.last_result` is its final result (None: none)."""

    def on_trial_error(self, trial: Trial) -> None:
        """The trial failed for good."""
