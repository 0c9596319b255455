"""The `tune` flow, which only connects the parts that other modules implement."""

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from prefect.context import AsyncClientContext, FlowRunContext
from prefect.runtime import flow_run

from tune_flows.core.errors import ExperimentFenced, StorageError, TuneError
from tune_flows.core.objective import Mode, Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.executors.bundles import parse_resources
from tune_flows.executors.ray.executor import RayExecutor
from tune_flows.experiment.clock import session_clock
from tune_flows.experiment.driver import Driver
from tune_flows.experiment.experiment import Experiment, collect_orphans
from tune_flows.experiment.resume import Resume
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.parameters import signature_types as types
from tune_flows.parameters.configs import require_fit, require_seconds, rules_of
from tune_flows.parameters.session import settings_of
from tune_flows.results.tune_result import TuneResult, require_success, tune_result, write_tables
from tune_flows.schedulers import parse_scheduler
from tune_flows.search import parse_search_alg
from tune_flows.stoppers import StopCriteria
from tune_flows.store import COMPLETION_KEY, CheckpointStore, ObjectStore, experiment_url, locate
from tune_flows.tasks.blocks import StorageParam
from tune_flows.tasks.console import console_may_break
from tune_flows.tasks.ending import ended_from_outside, wait_while_paused
from tune_flows.tasks.flow_class import tune_flow
from tune_flows.tasks.logs import flow_logger, library_logs_in_run
from tune_flows.tasks.loop_thread import run_in_own_loop
from tune_flows.tasks.naming import experiment_name, run_name
from tune_flows.tasks.observers.artifacts import LiveArtifacts, live_artifacts
from tune_flows.tasks.observers.events import ExperimentEvents
from tune_flows.tasks.observers.progress import Progress, live_progress
from tune_flows.tasks.observers.trial_log import TrialNews, tell_ended, tell_errors
from tune_flows.tasks.segment import quiet_segments, run_as_task
from tune_flows.tasks.watch import StopReason, Watch, WatchedRun
from tune_flows.trainable import resolve_trainable

__all__ = ["tune"]


def _run_name(parameters: Mapping[str, Any]) -> str:
    return run_name(parameters.get("name"), parameters.get("trainable"))


@tune_flow(name="tune", run_name=_run_name)
def tune(
    trainable: types.Trainable,
    param_space: types.ParamSpace,
    metric: types.Text | None = None,
    mode: Mode = "max",
    num_samples: types.NumSamples = 10,
    search_alg: types.SearchAlg = types.RANDOM_SEARCH,
    scheduler: types.Scheduler = types.FIFO,
    stop: types.Stop = types.NO_CRITERIA,
    time_budget_s: types.PositiveNumber | None = None,
    max_concurrent_trials: types.PositiveCount | None = None,
    resources_per_trial: types.Resources = None,
    checkpoint_config: types.Checkpoint = types.NO_CHECKPOINTS,
    failure_config: types.Failure = types.NO_FAILURES,
    storage_path: StorageParam = None,
    name: types.Name | None = None,
    resume: Resume = "auto",
    ray_address: types.Text | None = None,
    reuse_actors: bool = True,
    step_timeout_s: types.PositiveNumber | None = None,
    max_steps_per_task: types.PositiveCount | None = None,
    max_task_runs_per_s: types.PositiveNumber = 20.0,
    storage_retry_s: types.NonNegativeSeconds = 60.0,
    max_wall_time_s: types.NonNegativeSeconds | None = None,
    shutdown_grace_s: types.NonNegativeSeconds = 10.0,
) -> TuneResult:
    """Tune hyperparameters: run trials of a trainable on Ray until the experiment has ended.

    The experiment lies at `storage_path`/`name`. Calling `tune` again with the same two carries on what is
    unfinished, returns at once what is finished, and refuses other parameters. A larger `num_samples`, a
    larger `time_budget_s` and a `stop` that is further away extend it.

    Args:
        trainable: What to train: an import path `package.module:name`; in Python also a function
            `train(config)` that calls `report`, a subclass of `Trainable`, or `with_parameters(...)` of one.
        param_space: What to search, by name: domains, constants, nested mappings of these, such as
            `{"lr": {"type": "loguniform", "lower": 1e-5, "upper": 0.1}, "seed": 7}`; in Python
            `{"lr": loguniform(1e-5, 0.1), "seed": 7}`.
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
        storage_path: Folder or URL (`s3://bucket/folder`), or an `ExperimentStorage` block, by name
            `block:lake`; None: `TUNE_FLOWS_STORAGE`, else `~/.tune_flows`.
        name: Name of the experiment; None: a new one for each flow run. `{date}` and `{datetime}`, of the
            time (UTC) that the run was scheduled for, and `{flow_run_id}` are filled in: `churn-{date}`.
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
        ExperimentExists, ExperimentNotFound: `resume` requires that it does not exist, or that it exists.
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
    require_fit(
        objective, *policies, checkpoint_config, is_class=target.is_class, can_save=target.can_checkpoint
    )
    criteria = StopCriteria.parse(stop, metric=metric, mode=mode)
    resources = parse_resources(resources_per_trial)
    name = experiment_name(name, trainable)
    storage = locate(storage_path)
    url = experiment_url(storage.url, name)
    experiment = Experiment(
        store=ObjectStore(url, access=storage.access, retry_budget_s=retry_s),
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
        settings=settings_of(arguments),
    )
    checkpoints = CheckpointStore(url, access=storage.access, retry_budget_s=retry_s)
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
        keep_errors=rules.fail_fast == "raise",
    )
    block = storage.access.block
    events = ExperimentEvents(url, objective, constants=space.constants, storage_block=block)
    state = experiment.look()
    if state is None or not experiment.is_over(state):
        artifacts = LiveArtifacts(name, experiment.store, objective, space)
        driver = Driver(
            experiment=experiment,
            executor=executor,
            checkpoints=checkpoints,
            clock=session_clock(0.0 if state is None else state.now),
            observers=[
                progress := Progress(name, objective),
                TrialNews(objective, flow_logger()),
                events,
                artifacts,
            ],
            shutdown_grace_s=grace_s,
        )
        watch = Watch(WatchedRun.present(), driver.stop, deadline=None if wall_s is None else began + wall_s)
        with watch.run.watched_over():
            reached = _drive(driver, watch, progress, artifacts, experiment.store)
        state = reached or replace(state or ExperimentState(), ended=None)  # the rest was not started
        if driver.was_requested:
            watch.cause = StopReason.ASKED
        if watch.cause is StopReason.PAUSED and state.ended is None and wait_while_paused(watch) is None:
            if reached is not None:
                arguments["resume"] = "auto"  # what `resume` requested has been done
            arguments["max_wall_time_s"] = watch.left_s
            return tune.fn(**arguments)
        if watch.cause is not None and state.ended is None and watch.cause is not StopReason.OUT_OF_TIME:
            return ended_from_outside(watch)
    else:
        tell_ended(name, state, flow_logger())
        if experiment.store.get(COMPLETION_KEY) is None:  # its driver ended before this step
            events.end_is_news = True
            write_tables(experiment.store)
            with suppress(StorageError):
                collect_orphans(checkpoints, state)
    result = tune_result(url, state, objective, block)
    tell_errors(result, flow_logger())
    with events.ending(state, result):
        require_success(result, rules.fail_fast, executor.own_errors)
    return result


def _resume(resume: Resume) -> Resume:
    """Return `resume`, but "auto" instead of "never" when this flow run is itself retried or resumed."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    was_suspended = run is not None and bool(run.empirical_policy.pause_keys)
    return "auto" if resume == "never" and (flow_run.run_count > 1 or was_suspended) else resume


def _drive(
    driver: Driver, watch: Watch, progress: Progress, artifacts: LiveArtifacts, store: ObjectStore
) -> ExperimentState | None:
    """Run the experiment in a separate event loop, until it ends or the session is stopped.

    Its tables are written at the end, unless another driver has taken over the experiment.
    """

    async def drive() -> ExperimentState | None:
        # One client for all task runs of this flow run; without it each would open its own.
        async with AsyncClientContext(), watch.watching():
            return await driver.run()

    def stop() -> None:
        driver.stop("interrupted")

    log = flow_logger()
    try:
        with (
            console_may_break(),
            library_logs_in_run(),
            quiet_segments(),
            live_progress(progress, log),
            live_artifacts(artifacts),
        ):
            state = run_in_own_loop(drive, name=f"tune {progress.name}", stop=stop)
    except ExperimentFenced:
        raise  # the tables now belong to the other driver
    except BaseException:
        with suppress(TuneError):  # the original error must be raised
            write_tables(store, mark_end=False)  # if it has ended, the next run must report that
        raise
    if state is not None:
        try:
            write_tables(store)
        except StorageError as error:
            if state.ended is not None:
                raise
            log.warning("the tables of the stopped session could not be written: %s", error)
    return state
