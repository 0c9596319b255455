"""Search algorithms, which propose the configurations to try.

Authors of a search algorithm can import all they need from here: `SearchAlg`, the types of its methods, and
`new_rng`. To add a built-in kind, see CONTRIBUTING.md.
"""

from typing import Annotated

from pydantic import Field

from tune_flows.core.objective import Objective
from tune_flows.core.policy import Rng, new_rng, parse_policy
from tune_flows.core.schema import FormUnion
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial, TrialStatus
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
    "Objective",
    "OptunaSearch",
    "ParamSpace",
    "RandomSearch",
    "Result",
    "Rng",
    "SearchAlg",
    "Trial",
    "TrialStatus",
    "new_rng",
    "parse_search_alg",
]

AnySearchAlg = Annotated[RandomSearch | GridSearch | OptunaSearch, Field(discriminator="type"), FormUnion()]
"""Any built-in search algorithm, as the type of a flow parameter."""

SEARCH_ALGS: dict[str, type[SearchAlg]] = {
    kind.kind(): kind for kind in (RandomSearch, GridSearch, OptunaSearch)
}
"""The built-in search algorithms by the `type` of their JSON form."""


def parse_search_alg(value: object) -> SearchAlg:
    """Return the search algorithm that the parameter `search_alg` specifies, as a fresh copy.

    Args:
        value: A search algorithm, the name of a kind, its JSON form, or None for random search.

    Raises:
        InvalidParameter: `value` is not a search algorithm, or a field is unknown or out of bounds. Final.
    """
    return RandomSearch() if value is None else parse_policy("search_alg", value, SearchAlg, SEARCH_ALGS)
