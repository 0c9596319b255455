"""Random search, combined with all points of the grid if the space has one."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from tune_flows.core.objective import Objective
from tune_flows.core.policy import Rng, new_rng
from tune_flows.core.space import ParamSpace
from tune_flows.search.base import SearchAlg
from tune_flows.search.points import Points, check_points

__all__ = ["RandomSearch"]


class RandomSearch(SearchAlg):
    """Draws every configuration from the distributions of the space, independently of the others.

    With `grid_search` in the space, each sample runs all combinations of grid values, and draws the other
    values anew for each of them. A point to evaluate takes the place of one random configuration.
    """

    model_config = ConfigDict(title="Random search")

    type: Literal["random"] = "random"
    seed: int | None = Field(default=None, ge=0, description="Seed of the draws.")
    points_to_evaluate: Points = Field(default=[])

    _space: ParamSpace = PrivateAttr()
    _rng: Rng = PrivateAttr()
    _suggested: int = PrivateAttr(default=0)

    def setup(self, *, space: ParamSpace, objective: Objective, seed: int) -> None:
        """Prepare for an experiment.

        Raises:
            InvalidParameter: A point to evaluate does not lie in the space. Final.
        """
        del objective
        check_points(self.points_to_evaluate, space)
        self._space = space
        self._rng = new_rng(seed if self.seed is None else self.seed)

    def variants(self, space: ParamSpace) -> int:
        """Return the number of combinations of grid values."""
        return space.grid_size

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next point to evaluate; after the last one, random configurations without end."""
        del trial_id
        index = self._suggested
        self._suggested += 1
        fixed = self.points_to_evaluate[index] if index < len(self.points_to_evaluate) else None
        return self._space.sample(self._rng, index % self._space.grid_size, fixed)
