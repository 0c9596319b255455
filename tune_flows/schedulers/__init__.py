"""Trial schedulers, which decide when a trial runs, continues, pauses or stops.

Authors of a scheduler can import all they need from here: `TrialScheduler`, the decisions, the types of its
methods, and `new_rng`. To add a built-in kind, see CONTRIBUTING.md.
"""

from typing import Annotated

from pydantic import Field

from tune_flows.core.decisions import CONTINUE, PAUSE, STOP, YIELD, Decision, exploit
from tune_flows.core.objective import Objective
from tune_flows.core.policy import Rng, new_rng, parse_policy
from tune_flows.core.schema import FormUnion
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Action, Result, Trial, TrialStatus
from tune_flows.schedulers.asha import ASHAScheduler
from tune_flows.schedulers.base import TrialScheduler
from tune_flows.schedulers.fifo import FIFOScheduler
from tune_flows.schedulers.hyperband import HyperBandScheduler
from tune_flows.schedulers.pbt import PopulationBasedTraining

__all__ = [
    "CONTINUE",
    "PAUSE",
    "SCHEDULERS",
    "STOP",
    "YIELD",
    "ASHAScheduler",
    "Action",
    "AnyScheduler",
    "Decision",
    "FIFOScheduler",
    "HyperBandScheduler",
    "Objective",
    "ParamSpace",
    "PopulationBasedTraining",
    "Result",
    "Rng",
    "Trial",
    "TrialScheduler",
    "TrialStatus",
    "exploit",
    "new_rng",
    "parse_scheduler",
]

AnyScheduler = Annotated[
    FIFOScheduler | ASHAScheduler | HyperBandScheduler | PopulationBasedTraining,
    Field(discriminator="type"),
    FormUnion(),
]
"""Any built-in scheduler, as the type of a flow parameter."""

SCHEDULERS: dict[str, type[TrialScheduler]] = {
    kind.kind(): kind for kind in (FIFOScheduler, ASHAScheduler, HyperBandScheduler, PopulationBasedTraining)
}
"""The built-in schedulers by the `type` of their JSON form."""


def parse_scheduler(value: object) -> TrialScheduler:
    """Return the scheduler that the parameter `scheduler` specifies, as a fresh copy.

    Args:
        value: A scheduler, the name of a kind, its JSON form, or None for FIFO.

    Raises:
        InvalidParameter: `value` is not a scheduler, or a field is unknown or out of bounds. Final.
    """
    return FIFOScheduler() if value is None else parse_policy("scheduler", value, TrialScheduler, SCHEDULERS)
