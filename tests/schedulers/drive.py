"""A scheduler without a runner: trials and results made by hand."""

from typing import Any

from tune_flows.core.decisions import Decision
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial, TrialStatus
from tune_flows.schedulers import TrialScheduler

SPACE = ParamSpace.parse({"x": 0})


def ready(scheduler: TrialScheduler, *names: str, mode: Any = "max", space: ParamSpace = SPACE) -> Any:
    """The scheduler, set up and told of these trials."""
    scheduler.setup(objective=Objective("score", mode), space=space, seed=0)
    for name in names:
        scheduler.on_trial_add(Trial(name, {}))
    return scheduler


def trial(name: str, iteration: int = 0, config: Any = None, **fields: Any) -> Trial:
    return Trial(name, config or {}, TrialStatus.RUNNING, iteration, **fields)


def result(iteration: int, score: Any = None, **metrics: Any) -> Result:
    if score is not None:
        metrics["score"] = score
    return Result(iteration, metrics, 1.0, 10.0 * iteration, 0.0)


def report(
    scheduler: TrialScheduler,
    name: str,
    iteration: int,
    score: Any = None,
    config: Any = None,
    **metrics: Any,
) -> Decision:
    reported = result(iteration, score, **metrics)
    return scheduler.on_trial_result(trial(name, iteration, config, last_result=reported), reported)
