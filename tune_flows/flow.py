"""The `tune` flow: wiring only. What it wires is in the modules it imports."""

import re
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.context import AsyncClientContext, FlowRunContext
from prefect.runtime import flow_run

from tune_flows.core.errors import ExperimentFenced, StorageError, TuneError
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.schema import FormOf
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.driver import Driver
from tune_flows.executors.bundles import parse_resources
from tune_flows.executors.ray import RayExecutor
from tune_flows.experiment import Experiment, collect_orphans
from tune_flows.own_loop import run_in_own_loop
from tune_flows.parameters import (
    CheckpointConfig,
    FailureConfig,
    TrainableParam,
    require_fit,
    require_seconds,
    rules_of,
)
from tune_flows.progress import Progress, live_progress
from tune_flows.reopening import Resume
from tune_flows.results import TuneResult, require_success, tune_result, write_tables
from tune_flows.schedulers import AnyScheduler, parse_scheduler
from tune_flows.search import AnySearchAlg, parse_search_alg
from tune_flows.spec import ExperimentSpec
from tune_flows.stoppers import StopCriteria
from tune_flows.store import COMPLETION_KEY, CheckpointStore, ObjectStore, experiment_url, resolve_storage
from tune_flows.tasks.console import console_may_break
from tune_flows.tasks.ending import ended_from_outside, wait_while_paused
from tune_flows.tasks.logs import library_logs_in_run
from tune_flows.tasks.segment import quiet_segments, run_as_task
from tune_flows.tasks.watch import Cause, Watch, WatchedRun
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
    resources_per_trial: dict[str, Any] | list[dict[str, float]] | None = None,
    checkpoint_config: CheckpointConfig | None = None,
    failure_config: FailureConfig | None = None,
    storage_path: str | None = None,
    name: str | None = None,
    resume: Resume = "auto",
    ray_address: str | None = None,
    reuse_actors: bool = True,
    step_timeout_s: float | None = None,
    max_steps_per_task: int | None = None,
    max_task_runs_per_s: float = 20.0,
    storage_retry_s: float = 60.0,
    max_wall_time_s: float | None = None,
    shutdown_grace_s: float = 10.0,
) -> TuneResult:
    """Tune hyperparameters: run trials of a trainable on Ray until the experiment has ended.

    The experiment lies at `storage_path`/`name`. Calling `tune` again with the same two carries on what is
    unfinished, returns at once what is finished, and refuses other parameters. A larger `num_samples`, a
    larger `time_budget_s` and a `stop` that is further away extend it.

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
            default. A list of such bundles, or `{"bundles": [...], "strategy": "SPREAD"}`, for one that
            starts workers of its own: it runs in the first bundle, they in the others.
        checkpoint_config: When trials save checkpoints, and how many are kept.
        failure_config: How often a trial is tried again, and what a failed one means for the others.
        storage_path: Folder or URL (`s3://bucket/folder`); None: `TUNE_FLOWS_STORAGE`, else `~/.tune_flows`.
        name: Name of the experiment; None: a new one for each flow run.
        resume: "auto": carry the experiment on, or begin it. "never": begin it, it must not exist. "must":
            carry it on, it must exist. "errored": auto, and trials that failed run again from their newest
            checkpoints. "restart_errored": the same from scratch.
        ray_address: Ray cluster to use (`auto`, `host:port`, `ray://host:port`); None: a Ray of its own.
        reuse_actors: Whether a worker process serves one trial after another; False: a new process for each.
        step_timeout_s: Seconds without a sign of life, such as a report or the end of a step, after which a
            trial counts as hung: its worker is ended, as an infrastructure failure. None: never.
        max_steps_per_task: Most training iterations in one Prefect task run; None: up to the next decision.
        max_task_runs_per_s: Task runs begun per second at most, on average; protects the Prefect server.
        storage_retry_s: Seconds for which a storage that does not answer is tried again, before the run
            fails; training goes on meanwhile.
        max_wall_time_s: Seconds after which this run ends in order, though the experiment has not: running
            trials are saved, and the next run with the same storage and name carries on. None: no limit.
        shutdown_grace_s: Seconds that running trials get to end their step and to save when the run is to
            end: cancelled, suspended, interrupted by a signal, out of time.

    Returns:
        The best trial and where everything lies. `ended` says "not ended" when `max_wall_time_s` was over.

    Raises:
        InvalidParameter: A parameter cannot work; the message names it. Nothing was started.
        ExperimentMismatch: The experiment was begun with other parameters.
        ExperimentExists, ExperimentNotFound: `resume` does not allow that it is there, or not there.
        AllTrialsFailed, TrialFailed: Every trial failed, or one did and `fail_fast` is set.
        MetricNotReported: The trainable never reports `metric`.
        ResourcesUnavailable: The cluster cannot be reached, or can never hold a trial.
        StorageError: The storage refuses or does not answer.
    """
    arguments: dict[str, Any] = dict(locals())
    began = time.monotonic()
    rules, checkpoint_config = rules_of(
        num_samples=num_samples,
        time_budget_s=time_budget_s,
        max_concurrent_trials=max_concurrent_trials,
        max_steps_per_task=max_steps_per_task,
        checkpoint_config=checkpoint_config,
        failure_config=failure_config,
    )
    retry_s = require_seconds("storage_retry_s", storage_retry_s)
    grace_s = require_seconds("shutdown_grace_s", shutdown_grace_s)
    wall_s = None if max_wall_time_s is None else require_seconds("max_wall_time_s", max_wall_time_s)
    target = resolve_trainable(trainable)
    space = ParamSpace.parse(param_space)
    policies = parse_search_alg(search_alg), parse_scheduler(scheduler)
    objective = Objective(metric, mode)
    require_fit(objective, *policies, checkpoint_config, can_checkpoint=target.can_checkpoint)
    criteria = StopCriteria.parse(stop, metric=metric, mode=mode)
    resources = parse_resources(resources_per_trial)
    name = _experiment_name(name, trainable)
    url = experiment_url(resolve_storage(storage_path), name)
    experiment = Experiment(
        store=ObjectStore(url, retry_budget_s=retry_s),
        spec=ExperimentSpec(
            trainable=target.identity,
            param_space=space.to_json(),
            metric=metric,
            mode=mode,
            search_alg=policies[0].to_config(),
            scheduler=policies[1].to_config(),
            seed=secrets.randbits(63),
        ),
        space=space,
        search_alg=policies[0],
        scheduler=policies[1],
        rules=replace(rules, stop=dict(stop or {})),
        num_samples=None if num_samples == -1 else num_samples,
        resume=_resume(resume),
    )
    checkpoints = CheckpointStore(url, retry_budget_s=retry_s)
    executor = RayExecutor(
        host={
            "trainable": target.bind({}),
            "stop": criteria,
            "checkpoints": checkpoints,
            "checkpoint_frequency": checkpoint_config.checkpoint_frequency,
            "checkpoint_at_end": checkpoint_config.checkpoint_at_end,
            "checkpoint_metrics": [
                name for name in (metric, checkpoint_config.checkpoint_score_attribute) if name is not None
            ],
            "experiment_name": name,
            "resources": resources.by_name(),
        },
        objects=target.parameters,
        resources=resources,
        address=ray_address,
        reuse_workers=reuse_actors,
        run_segment=run_as_task,
        max_segments_per_s=max_task_runs_per_s,
        step_timeout_s=step_timeout_s,
        raise_errors=rules.fail_fast == "raise",
    )
    state = experiment.look()
    if state is None or not experiment.is_over(state):
        driver = Driver(
            experiment=experiment,
            executor=executor,
            checkpoints=checkpoints,
            clock=time.time,
            observers=[progress := Progress(name, objective)],
            shutdown_grace_s=grace_s,
        )
        run, deadline = WatchedRun.present(), None if wall_s is None else began + wall_s
        watch = Watch(run, driver.stop, deadline=deadline)
        with run.witnessed():
            reached = _drive(driver, watch, progress, experiment.store)
        state = reached or replace(state or ExperimentState(), ended=None)  # what is left to do was not begun
        if watch.cause is Cause.PAUSED and state.ended is None:
            wait_while_paused(watch)
            if reached is not None:
                arguments["resume"] = "auto"  # what was asked for has been done
            return tune.fn(**arguments)
        if watch.cause is not None and state.ended is None and watch.cause is not Cause.OUT_OF_TIME:
            return ended_from_outside(watch)
    elif experiment.store.get(COMPLETION_KEY) is None:
        # the driver that came to the end did not come to this
        write_tables(experiment.store)
        with suppress(StorageError):
            collect_orphans(checkpoints, state)
    result = tune_result(url, state, objective)
    for trial_id, error in result.errors.items():
        get_run_logger().warning("%s failed: %s", trial_id, error)
    if executor.own_error is not None:
        raise executor.own_error
    require_success(result, rules.fail_fast)
    return result


def _resume(resume: Resume) -> Resume:
    """What is asked for, but that a flow run that is retried or resumed carries on what it began itself."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    was_suspended = run is not None and bool(run.empirical_policy.pause_keys)
    return "auto" if resume == "never" and (flow_run.run_count > 1 or was_suspended) else resume


def _drive(driver: Driver, watch: Watch, progress: Progress, store: ObjectStore) -> ExperimentState | None:
    """Run the experiment in a loop of its own, to its end or until somebody or something stops the session.

    Its tables are written as long as it is ours.
    """

    async def drive() -> ExperimentState | None:
        # One client for all task runs of this run; without it each would open its own.
        async with AsyncClientContext(), watch.watching():
            return await driver.run()

    def stop() -> None:
        driver.stop("interrupted by a signal")

    log = get_run_logger()
    try:
        with console_may_break(), library_logs_in_run(), quiet_segments(), live_progress(progress, log):
            state = run_in_own_loop(drive, name=f"tune {progress.name}", stop=stop)
    except ExperimentFenced:
        raise  # the tables are now the other driver's
    except BaseException:
        with suppress(TuneError):  # what stopped the run is the news
            write_tables(store)
        raise
    if state is not None:
        try:
            write_tables(store)
        except StorageError as error:
            if state.ended is not None:
                raise
            log.warning("the tables of the stopped session could not be written: %s", error)
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
