"""The `tune` flow: wiring only. What it wires is in the modules it imports."""

import re
import secrets
import time
from contextlib import suppress
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.context import AsyncClientContext
from prefect.runtime import flow_run

from tune_flows.core.errors import TuneError
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.schema import FormOf
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.driver import Driver
from tune_flows.executors.ray import RayExecutor
from tune_flows.executors.resources import Resources
from tune_flows.experiment import Experiment
from tune_flows.own_loop import run_in_own_loop
from tune_flows.parameters import (
    CheckpointConfig,
    FailureConfig,
    TrainableParam,
    require_fit,
    rules_of,
)
from tune_flows.progress import Progress, live_progress
from tune_flows.results import TuneResult, tune_result, write_tables
from tune_flows.schedulers import AnyScheduler, parse_scheduler
from tune_flows.search import AnySearchAlg, parse_search_alg
from tune_flows.spec import ExperimentSpec
from tune_flows.stoppers import StopCriteria
from tune_flows.store import CheckpointStore, ObjectStore, experiment_url, resolve_storage
from tune_flows.tasks.logs import library_logs_in_run
from tune_flows.tasks.segment import quiet_segments, run_as_task
from tune_flows.trainable import resolve_trainable

__all__ = ["tune"]

SearchAlgParam = Annotated[Any, FormOf(AnySearchAlg)]
SchedulerParam = Annotated[Any, FormOf(AnyScheduler)]


def _flow_run_name() -> str:
    return _experiment_name(flow_run.parameters.get("name"), flow_run.parameters.get("trainable"))


@flow(name="tune", flow_run_name=_flow_run_name)
def tune(
    trainable: TrainableParam,
    param_space: dict[str, Any],
    metric: str | None = None,
    mode: Mode = "max",
    num_samples: int = 10,
    search_alg: SearchAlgParam = None,
    scheduler: SchedulerParam = None,
    stop: dict[str, float] | None = None,
    time_budget_s: float | None = None,
    max_concurrent_trials: int | None = None,
    resources_per_trial: dict[str, float] | None = None,
    checkpoint_config: CheckpointConfig | None = None,
    failure_config: FailureConfig | None = None,
    storage_path: str | None = None,
    name: str | None = None,
    ray_address: str | None = None,
    reuse_actors: bool = True,
    max_steps_per_task: int | None = None,
    max_task_runs_per_s: float = 20.0,
) -> TuneResult:
    """Tune hyperparameters: run trials of a trainable on Ray until the experiment has ended.

    The experiment lies at `storage_path`/`name`. Calling `tune` again with the same two carries on what is
    unfinished, returns at once what is finished, and refuses other parameters; a larger `num_samples`
    extends it.

    Args:
        trainable: What to train: an import path `package.module:name`, a function `train(config)` that calls
            `report`, a subclass of `Trainable`, or `with_parameters(...)` of one.
        param_space: What to search: a nested mapping of domains (`uniform(0, 1)` or
            `{"type": "uniform", "lower": 0, "upper": 1}`) and constants.
        metric: Name of the reported metric to tune; None only where nothing compares it.
        mode: Whether a smaller ("min") or larger ("max") metric is better.
        num_samples: Trials, or repetitions of the grid where the space has `grid_search`; -1: without limit,
            until `time_budget_s` is spent.
        search_alg: Suggests configurations; random search by default.
        scheduler: Stops, pauses and clones trials; none of it (FIFO) by default.
        stop: Ends a trial as soon as a value reaches its threshold: `{"training_iteration": 81}`. Larger or
            equal, but smaller or equal for the metric with mode "min".
        time_budget_s: Seconds of work on the experiment after which it ends; downtime does not count.
        max_concurrent_trials: Most trials at a time; None: as many as fit.
        resources_per_trial: What a trial holds, such as `{"cpu": 1, "gpu": 0.5, "memory": 2e9}`; one core by
            default.
        checkpoint_config: When trials save checkpoints, and how many are kept.
        failure_config: How often a trial is tried again, and what a failed one means for the others.
        storage_path: Folder or URL (`s3://bucket/folder`); None: `TUNE_FLOWS_STORAGE`, else `~/.tune_flows`.
        name: Name of the experiment; None: a new one for each flow run.
        ray_address: Ray cluster to use (`auto`, `host:port`, `ray://host:port`); None: a Ray of its own.
        reuse_actors: Whether a worker process serves one trial after another; False: a new process for each.
        max_steps_per_task: Most training iterations in one Prefect task run; None: up to the next decision.
        max_task_runs_per_s: Task runs begun per second at most, on average; protects the Prefect server.

    Returns:
        The best trial and where everything lies.

    Raises:
        InvalidParameter: A parameter cannot work; the message names it. Nothing was started.
        ExperimentMismatch: The experiment was begun with other parameters.
        MetricNotReported: The trainable never reports `metric`.
        ResourcesUnavailable: The cluster cannot be reached, or can never hold a trial.
        StorageError: The storage refuses or does not answer.
    """
    rules, checkpoint_config = rules_of(
        num_samples=num_samples,
        time_budget_s=time_budget_s,
        max_concurrent_trials=max_concurrent_trials,
        max_steps_per_task=max_steps_per_task,
        checkpoint_config=checkpoint_config,
        failure_config=failure_config,
    )
    target = resolve_trainable(trainable)
    space = ParamSpace.parse(param_space)
    policies = parse_search_alg(search_alg), parse_scheduler(scheduler)
    objective = Objective(metric, mode)
    require_fit(objective, *policies, checkpoint_config, can_checkpoint=target.can_checkpoint)
    criteria = StopCriteria.parse(stop, metric=metric, mode=mode)
    resources = Resources.parse(resources_per_trial)
    name = _experiment_name(name, trainable)
    url = experiment_url(resolve_storage(storage_path), name)
    experiment = Experiment(
        store=ObjectStore(url),
        spec=ExperimentSpec(
            trainable=target.identity,
            param_space=space.to_json(),
            metric=metric,
            mode=mode,
            search_alg=policies[0].to_config(),
            scheduler=policies[1].to_config(),
            stop=dict(stop or {}),
            seed=secrets.randbits(63),
        ),
        space=space,
        search_alg=policies[0],
        scheduler=policies[1],
        objective=objective,
        rules=rules,
        num_samples=None if num_samples == -1 else num_samples,
    )
    checkpoints = CheckpointStore(url)
    executor = RayExecutor(
        host={
            "trainable": target.bind({}),
            "stop": criteria,
            "checkpoints": checkpoints,
            "checkpoint_frequency": checkpoint_config.checkpoint_frequency,
            "checkpoint_at_end": checkpoint_config.checkpoint_at_end,
            "experiment_name": name,
            "resources": resources.by_name(),
        },
        objects=target.parameters,
        resources=resources,
        address=ray_address,
        reuse_workers=reuse_actors,
        run_segment=run_as_task,
        max_segments_per_s=max_task_runs_per_s,
    )
    state = experiment.look()
    if state is None or not experiment.is_over(state):
        state = _drive(experiment, executor, checkpoints, Progress(name, objective))
    result = tune_result(url, state, objective)
    for trial_id, error in result.errors.items():
        get_run_logger().warning("%s failed: %s", trial_id, error)
    return result


def _drive(
    experiment: Experiment, executor: RayExecutor, checkpoints: CheckpointStore, progress: Progress
) -> ExperimentState:
    """Run the experiment to its end, in a loop of its own; its tables are written however that goes."""
    driver = Driver(
        experiment=experiment,
        executor=executor,
        checkpoints=checkpoints,
        clock=time.time,
        observers=[progress],
    )

    async def drive() -> ExperimentState:
        # One client for all task runs of this run; without it each would open its own.
        async with AsyncClientContext():
            return await driver.run()

    log = get_run_logger()
    try:
        with library_logs_in_run(), quiet_segments(), live_progress(progress, log):
            state = run_in_own_loop(drive, name=f"tune {progress.name}")
    except BaseException:
        with suppress(TuneError):  # what stopped the run is the news
            write_tables(experiment.store)
        raise
    write_tables(experiment.store)
    return state


def _experiment_name(name: str | None, trainable: object) -> str:
    """The given name, or one of this flow run's, so that a retry of the run carries the experiment on."""
    if name is not None:
        return name
    label = (
        trainable if isinstance(trainable, str) else getattr(trainable, "__name__", type(trainable).__name__)
    )
    short = re.split(r"[.:]", label)[-1]
    return f"{short}-{str(flow_run.id)[:8]}"
