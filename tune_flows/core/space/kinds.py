"""All kinds of search space entries, by the `type` in their JSON form."""

from typing import Annotated, get_args

from pydantic import Field

from tune_flows.core.schema import FormUnion
from tune_flows.core.space.continuous import LogUniform, QLogUniform, QRandn, QUniform, Randn, Uniform
from tune_flows.core.space.domain import SpaceEntry
from tune_flows.core.space.integers import LogRandInt, QLogRandInt, QRandInt, RandInt
from tune_flows.core.space.listed import Choice, Grid
from tune_flows.core.space.sample_from import SampleFrom

__all__ = ["KINDS", "AnyDomain"]

AnyDomain = Annotated[
    Uniform
    | QUniform
    | LogUniform
    | QLogUniform
    | Randn
    | QRandn
    | RandInt
    | QRandInt
    | LogRandInt
    | QLogRandInt
    | Choice
    | Grid
    | SampleFrom,
    Field(discriminator="type"),
    FormUnion(),
]
"""Any entry of a search space, as the type of a flow parameter or of a field."""

_KINDS: tuple[type[SpaceEntry], ...] = get_args(get_args(AnyDomain)[0])
KINDS: dict[str, type[SpaceEntry]] = {str(kind.model_fields["type"].default): kind for kind in _KINDS}
"""The class of each kind, by its `type`."""
