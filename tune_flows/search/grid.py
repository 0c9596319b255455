"""Grid search: every combination of values, in order."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, JsonValue, PrivateAttr

from tune_flows.core.errors import InvalidParameter
from tune_flows.core.objective import Objective
from tune_flows.core.policy import new_rng
from tune_flows.core.space import Choice, Domain, Grid, ParamSpace, QRandn
from tune_flows.core.space.domain import Interval
from tune_flows.core.space.steps import steps
from tune_flows.search.base import SearchAlg

__all__ = ["GridSearch"]

_LARGEST_GRID = 1_000_000


class GridSearch(SearchAlg):
    """Tries every combination of values, `num_samples` times; the last path of the space changes fastest.

    A discrete domain (choice, grid_search, integers, multiples of q) is tried at all its values. A domain of
    floats is tried at points evenly spaced on its own (linear or log) scale, including the bounds; a normal
    distribution, which has no bounds, at the medians of parts of equal probability.
    """

    model_config = ConfigDict(title="Grid search")

    type: Literal["grid"] = "grid"
    points_per_domain: int = Field(default=5, ge=1, description="Values to try of each domain of floats.")
    shuffle_seed: int | None = Field(
        default=None, ge=0, description="Seed of a random order, the same in each walk. None: in order."
    )

    _space: ParamSpace = PrivateAttr()
    _suggested: int = PrivateAttr(default=0)

    def setup(self, *, space: ParamSpace, objective: Objective, seed: int) -> None:
        """Prepare for an experiment.

        Raises:
            InvalidParameter: The grid has more than a million points. Final.
        """
        del objective, seed
        self.variants(space)
        self._space = space

    def variants(self, space: ParamSpace) -> int:
        """Return the number of points of the grid.

        Raises:
            InvalidParameter: There are more than a million. Final.
        """
        sizes = {path: axis.size for path, axis in self._axes(space).items()}
        size = math.prod(sizes.values())
        if size > _LARGEST_GRID:
            raise InvalidParameter.of(
                "search_alg (grid)",
                " x ".join(f"{path}: {count}" for path, count in sizes.items()) + f" = {size} points",
                f"a grid of at most {_LARGEST_GRID} points",
                "Take fewer or coarser domains, or RandomSearch.",
            )
        return size

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next point of the grid; the last one is followed by the first one."""
        del trial_id
        axes = self._axes(self._space)
        size = math.prod(axis.size for axis in axes.values())
        index = self._suggested % size
        self._suggested += 1
        if self.shuffle_seed is not None:
            index = int(_shuffled(size, self.shuffle_seed)[index])
        values: dict[str, JsonValue] = {}
        for path, axis in reversed(axes.items()):
            index, position = divmod(index, axis.size)
            values[path] = axis.at(position)
        return self._space.resolve(values)

    def _axes(self, space: ParamSpace) -> "dict[str, _Axis]":
        entries = sorted({**space.domains, **space.grids}.items())
        return {path: _axis(entry, self.points_per_domain) for path, entry in entries}


@dataclass(frozen=True, slots=True)
class _Axis:
    """The values of one key of the space."""

    size: int
    at: Callable[[int], JsonValue]


def _axis(entry: Domain | Grid, points: int) -> _Axis:
    if isinstance(entry, Choice | Grid):
        listed = entry.values if isinstance(entry, Grid) else entry.categories
        return _Axis(len(listed), listed.__getitem__)
    if isinstance(entry, QRandn):
        distinct = list(dict.fromkeys(entry.quantile((index + 0.5) / points) for index in range(points)))
        return _Axis(len(distinct), distinct.__getitem__)
    grid = steps(entry)
    if grid is not None:
        return _Axis(grid.count, lambda index: grid.value(grid.first + index))
    if not isinstance(entry, Interval) or points == 1:
        return _Axis(points, lambda index: entry.quantile((index + 0.5) / points))
    upper = entry.upper  # excluded from the distribution, but still in the domain
    return _Axis(points, lambda index: upper if index == points - 1 else entry.quantile(index / (points - 1)))


@lru_cache(maxsize=4)
def _shuffled(size: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return new_rng(seed).permutation(size)
