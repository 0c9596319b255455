"""A search algorithm without a runner."""

from collections.abc import Callable
from typing import Any

from tune_flows.core.objective import Mode, Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial, TrialStatus
from tune_flows.search import SearchAlg


def ready(search_alg: SearchAlg, space: dict[str, Any], *, mode: Mode = "max", seed: int = 0) -> Any:
    search_alg.setup(space=ParamSpace.parse(space), objective=Objective("score", mode), seed=seed)
    return search_alg


def suggestions(search_alg: SearchAlg, count: int) -> list[dict[str, Any]]:
    found = [search_alg.suggest(f"trial-{number}") for number in range(count)]
    return [config for config in found if isinstance(config, dict)]


def ended(name: str, config: dict[str, Any], score: Any) -> Trial:
    metrics = {} if score is None else {"score": score}
    return Trial(name, config, TrialStatus.TERMINATED, 1, Result(1, metrics, 1.0, 1.0, 0.0))


def scores(
    search_alg: SearchAlg, count: int, score: Callable[[dict[str, Any]], Any], first: int = 0
) -> list[Any]:
    """Scores of the suggestions, one trial after the other."""
    found: list[Any] = []
    for number in range(first, first + count):
        config = search_alg.suggest(f"trial-{number}")
        assert isinstance(config, dict)
        found.append(score(config))
        search_alg.on_trial_complete(ended(f"trial-{number}", config, found[-1]))
    return found
