"""The functions that create the entries of a search space, named as in Ray Tune.

Each raises InvalidParameter if its arguments are invalid. `base` is accepted where Ray Tune accepts it, but
ignored: the base of a logarithm makes no difference to the distribution.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import ValidationError

from tune_flows.core.schema import invalid_parameter
from tune_flows.core.space.continuous import LogUniform, QLogUniform, QRandn, QUniform, Randn, Uniform
from tune_flows.core.space.domain import SpaceEntry
from tune_flows.core.space.integers import LogRandInt, QLogRandInt, QRandInt, RandInt
from tune_flows.core.space.listed import Choice, Grid
from tune_flows.core.space.sample_from import SampleFrom

__all__ = [
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

Entry = TypeVar("Entry", bound=SpaceEntry)


def uniform(lower: float, upper: float) -> Uniform:
    """Sample a float uniformly from `lower` to below `upper`."""
    return _made(Uniform, lower=lower, upper=upper)


def quniform(lower: float, upper: float, q: float) -> QUniform:
    """Sample a multiple of `q` from `lower` to `upper`, both included, each equally likely."""
    return _made(QUniform, lower=lower, upper=upper, q=q)


def loguniform(lower: float, upper: float, base: float = 10) -> LogUniform:
    """Sample a float log-uniformly from `lower` > 0 to below `upper`."""
    del base
    return _made(LogUniform, lower=lower, upper=upper)


def qloguniform(lower: float, upper: float, q: float, base: float = 10) -> QLogUniform:
    """Sample a multiple of `q` log-uniformly from `lower` > 0 to `upper`, both included."""
    del base
    return _made(QLogUniform, lower=lower, upper=upper, q=q)


def randn(mean: float = 0.0, sd: float = 1.0) -> Randn:
    """Sample a float from a normal distribution with mean `mean` and standard deviation `sd` > 0."""
    return _made(Randn, mean=mean, sd=sd)


def qrandn(mean: float, sd: float, q: float) -> QRandn:
    """Sample a normally distributed multiple of `q`, with mean `mean` and standard deviation `sd` > 0."""
    return _made(QRandn, mean=mean, sd=sd, q=q)


def randint(lower: int, upper: int) -> RandInt:
    """Sample an integer from `lower` to below `upper`, each equally likely."""
    return _made(RandInt, lower=lower, upper=upper)


def qrandint(lower: int, upper: int, q: int = 1) -> QRandInt:
    """Sample an integer multiple of `q` from `lower` to `upper`, both included, each equally likely.

    Ray Tune excludes `upper` when `q` is 1; here it is always included.
    """
    return _made(QRandInt, lower=lower, upper=upper, q=q)


def lograndint(lower: int, upper: int, base: float = 10) -> LogRandInt:
    """Sample an integer log-uniformly from `lower` >= 1 to below `upper`."""
    del base
    return _made(LogRandInt, lower=lower, upper=upper)


def qlograndint(lower: int, upper: int, q: int, base: float = 10) -> QLogRandInt:
    """Sample an integer multiple of `q` log-uniformly from `lower` >= 1 to `upper`, both included."""
    del base
    return _made(QLogRandInt, lower=lower, upper=upper, q=q)


def choice(categories: Iterable[Any]) -> Choice:
    """Sample one of `categories` (any JSON values), each equally likely."""
    return _made(Choice, categories=categories)


def grid_search(values: Iterable[Any]) -> Grid:
    """Try each of `values` (any JSON values), combined with all values of the other grids of the space."""
    return _made(Grid, values=values)


def sample_from(func: Callable[[Any], Any] | Callable[[], Any] | str) -> SampleFrom:
    """Compute a value by calling `func` with the configuration chosen so far.

    Args:
        func: A function of one argument, the configuration as a read-only mapping, or of no arguments; or the
            import path of such a function, "package.module:function". A lambda or a local function works in
            Python, but not in a deployment, because its JSON form cannot be read back.
    """
    return _made(SampleFrom, function=func)


def _made(kind: type[Entry], **fields: Any) -> Entry:  # noqa: ANN401 - checked by the kind
    def name(field: str) -> str:
        argument = {"": "", "function": "func="}.get(field, f"{field}=")
        return f"{kind.model_fields['type'].default}({argument}…)"

    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise invalid_parameter(error, name, kind) from error
