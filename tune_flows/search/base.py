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
    """Type of the constant `FINISHED`."""

    FINISHED = "FINISHED"


FINISHED: Final = Finished.FINISHED
"""Returned by `suggest` when it will never propose a configuration again."""


class SearchAlg(Policy, ABC):
    """Base class of search algorithms: proposes configurations and learns from their results.

    The runner calls its methods in the order of the journal, so the same history gives the same suggestions.
    Fields and private attributes survive a restart (`Policy`); nothing else does.

    A trial that has completed or failed may run again, when the user extends the experiment or retries failed
    trials. Its results, completion or error are then passed on as if it had not ended before.
    """

    needs_metric: ClassVar[bool] = False
    """Whether the algorithm learns from the metric; if so, a run without a metric is refused."""

    @abstractmethod
    def setup(self, *, space: ParamSpace, objective: Objective, seed: int) -> None:
        """Prepare for an experiment; called before anything else, on resume before `load_state`.

        Args:
            space: What to search.
            objective: The metric and its direction.
            seed: The experiment's seed, for an algorithm whose own `seed` is None.

        Raises:
            InvalidParameter: This algorithm cannot search this space.
        """

    @abstractmethod
    def suggest(self, trial_id: str) -> dict[str, Any] | Finished | None:
        """Return a configuration for a new trial, None for "nothing right now", or `FINISHED`.

        After None, `suggest` is called again when a trial has reported or ended. If there is no such trial,
        None ends the run with a `PolicyError`.
        """

    def variants(self, space: ParamSpace) -> int:
        """Return the number of trials per sample (a grid has many), by which `num_samples` is multiplied."""
        del space
        return 1

    def on_trial_result(self, trial: Trial, result: Result) -> None:
        """Process a result that a trial has reported; `trial` already includes it."""

    def on_trial_complete(self, trial: Trial) -> None:
        """Process a trial that completed or was stopped; `trial.last_result` is its final result or None."""

    def on_trial_error(self, trial: Trial) -> None:
        """Process a trial that failed and is not retried."""
