"""Search algorithms: which configuration is tried next.

To add a built-in kind: a file beside the others, its class in `AnySearchAlg` and `SEARCH_ALGS`, a test class.
"""

from typing import Annotated

from pydantic import Field

from tune_flows.core.policy import parse_policy
from tune_flows.core.schema import FormUnion
from tune_flows.search.base import FINISHED, Finished, SearchAlg
from tune_flows.search.grid import GridSearch
from tune_flows.search.optuna import OptunaSearch
from tune_flows.search.random import RandomSearch

__all__ = [
    "FINISHED",
    "SEARCH_ALGS",
    "AnySearchAlg",
    "Finished",
    "GridSearch",
    "OptunaSearch",
    "RandomSearch",
    "SearchAlg",
    "parse_search_alg",
]

AnySearchAlg = Annotated[RandomSearch | GridSearch | OptunaSearch, Field(discriminator="type"), FormUnion()]
"""Any built-in search algorithm, as the type of a flow parameter."""

SEARCH_ALGS: dict[str, type[SearchAlg]] = {
    kind.kind(): kind for kind in (RandomSearch, GridSearch, OptunaSearch)
}
"""The built-in search algorithms by the `type` of their JSON form."""


def parse_search_alg(value: object) -> SearchAlg:
    """The search algorithm that the parameter `search_alg` means, as a fresh copy.

    Args:
        value: A search algorithm, the name of a kind, its JSON form, or None for random search.

    Raises:
        InvalidParameter: It is no search algorithm, or a field is unknown or out of bounds. Final.
    """
    return RandomSearch() if value is None else parse_policy("search_alg", value, SearchAlg, SEARCH_ALGS)
