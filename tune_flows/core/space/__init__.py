"""The search space: the possible configurations, and how to sample one.

- A configuration holds JSON values only.
- The only source of randomness is the generator that is passed in.
- A space and its JSON form are equivalent: `ParamSpace.parse(space.to_json()) == space`.
"""

from tune_flows.core.space.constructors import (
    choice,
    grid_search,
    lograndint,
    loguniform,
    qlograndint,
    qloguniform,
    qrandint,
    qrandn,
    quniform,
    randint,
    randn,
    sample_from,
    uniform,
)
from tune_flows.core.space.continuous import LogUniform, QLogUniform, QRandn, QUniform, Randn, Uniform
from tune_flows.core.space.domain import Domain
from tune_flows.core.space.integers import LogRandInt, QLogRandInt, QRandInt, RandInt
from tune_flows.core.space.kinds import AnyDomain
from tune_flows.core.space.listed import Choice, Grid
from tune_flows.core.space.param_space import ParamSpace
from tune_flows.core.space.sample_from import SampleFrom

__all__ = [
    "AnyDomain",
    "Choice",
    "Domain",
    "Grid",
    "LogRandInt",
    "LogUniform",
    "ParamSpace",
    "QLogRandInt",
    "QLogUniform",
    "QRandInt",
    "QRandn",
    "QUniform",
    "RandInt",
    "Randn",
    "SampleFrom",
    "Uniform",
    "choice",
    "grid_search",
    "lograndint",
    "loguniform",
    "qlograndint",
    "qloguniform",
    "qrandint",
    "qrandn",
    "quniform",
    "randint",
    "randn",
    "sample_from",
    "uniform",
]
