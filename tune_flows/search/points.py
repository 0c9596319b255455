"""Configurations that a search algorithm tries first."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, JsonValue

from tune_flows.core.space import ParamSpace

__all__ = ["Points", "check_points"]

Points = Annotated[
    list[dict[str, JsonValue]],
    Field(description="Configurations to try first, whole or in part, nested or by path (`model/lr`)."),
]


def check_points(points: Sequence[dict[str, Any]], space: ParamSpace) -> None:
    """Check that the points lie in the space, before any trial starts.

    Raises:
        InvalidParameter: A point does not lie in the space. Final.
    """
    for index, point in enumerate(points):
        space.flatten(point, f"search_alg.points_to_evaluate[{index}]")
