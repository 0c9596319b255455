"""Complete, deterministic runs of two policies on a script instead of a cluster.

The real `TrialRunner` decides; the script replaces the executor and the trainable. Workers take turns, one
training iteration each, in the order in which they were launched.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tune_flows.core.codec import partition
from tune_flows.core.commands import Command, ContinueTrial, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.decisions import DecisionRecord, TrialContinued, TrialLaunched
from tune_flows.core.events import (
    CapacityChanged,
    CheckpointSaved,
    DriverStarted,
    Event,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
    TrialsReopened,
)
from tune_flows.core.objective import Objective
from tune_flows.core.policy import Policy
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import CheckpointRef, Result, Trial
from tune_flows.runner.runner import Rules, TrialRunner
from tune_flows.schedulers import TrialScheduler
from tune_flows.search import SearchAlg

__all__ = ["Metrics", "Script", "ScriptedRun", "scripted_run"]

Metrics = Callable[[Mapping[str, Any], int], dict[str, Any]]
"""Returns the metrics that a configuration reports at a training iteration (from 1)."""

_MOST_TURNS = 100_000
_SCORE = Objective("score")
_RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The input of a run: the experiment, what its trials report, and which faults occur."""

    space: ParamSpace
    metrics: Metrics
    objective: Objective = _SCORE
    trials: int = 20
    """Largest number of trials of the experiment."""
    slots: int = 3
    length: int = 30
    """Iterations after which a trial ends by itself; each further life adds as many."""
    lives: int = 1
    """How often the experiment runs to its end; before each further time all its trials are reopened."""
    restart: bool = False
    """Whether the trials start from scratch in a further life."""
    seed: int = 1
    faults: Mapping[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """Number of failures by trial id and iteration."""
    rules: Rules = _RULES
    reload_every: int | None = None
    """Number of turns after which both policies are dumped and loaded into fresh copies; None: never."""


@dataclass(frozen=True, slots=True)
class ScriptedRun:
    """Result of a scripted run."""

    trials: dict[str, Trial]
    decisions: list[DecisionRecord]
    """In order, without `TrialLaunched` and `TrialContinued`, which only set the next decision point."""


def scripted_run(search_alg: SearchAlg, scheduler: TrialScheduler, script: Script) -> ScriptedRun:
    """Run the policies, which must be new, to the end of the experiment.

    Raises:
        RuntimeError: The experiment does not end within 100,000 turns.
    """
    space, objective = script.space, script.objective
    search_alg.setup(space=space, objective=objective, seed=script.seed)
    scheduler.setup(space=space, objective=objective, seed=script.seed)
    runner = TrialRunner(search_alg=search_alg, scheduler=scheduler, objective=objective, rules=script.rules)
    workers = _Workers(script)
    events: list[Event] = [
        DriverStarted(1, at=0.0),
        ExperimentExtended(script.trials),
        CapacityChanged(script.slots),
    ]
    decisions: list[DecisionRecord] = []
    for turn in range(_MOST_TURNS):
        if script.reload_every is not None and turn % script.reload_every == 0:
            search_alg, scheduler = _reloaded(search_alg), _reloaded(scheduler)
            runner = TrialRunner(
                search_alg=search_alg,
                scheduler=scheduler,
                objective=objective,
                rules=script.rules,
                state=runner.state,
            )
        step = runner.step(events, now=float(turn))
        decisions += [
            record
            for record in partition(step.records)[1]
            if not isinstance(record, TrialLaunched | TrialContinued)
        ]
        if runner.state.ended is not None:
            if workers.life == script.lives:
                return ScriptedRun(runner.state.trials, decisions)
            workers.life += 1
            events = [TrialsReopened(tuple(runner.state.trials), restart=script.restart)]
            continue
        events = workers.obey(step.commands) + workers.work(now=float(turn))
    raise RuntimeError(f"the experiment did not end within {_MOST_TURNS} turns")


P = TypeVar("P", bound=Policy)


def _reloaded(policy: P) -> P:
    fresh = policy.fresh()
    fresh.load_state(json.loads(json.dumps(policy.dump_state(), allow_nan=False)))
    return fresh


@dataclass(slots=True)
class _Worker:
    trial_id: str
    lease: int
    config: dict[str, Any]
    iteration: int
    until: int | None
    save_at: int | None
    known: int
    """Number of iterations that earlier leases have reported."""
    waits: bool = False


class _Workers:
    """The scripted workers: carry out commands and train one iteration per turn."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._live: dict[str, _Worker] = {}
        self._faults = dict(script.faults)
        self._saved = 0
        self.life = 1

    def obey(self, commands: tuple[Command, ...]) -> list[Event]:
        events: list[Event] = []
        for command in commands:
            match command:
                case LaunchSegment():
                    self._live[command.trial_id] = _Worker(
                        command.trial_id,
                        command.lease,
                        command.config,
                        command.checkpoint.iteration if command.checkpoint else 0,
                        command.until,
                        command.save_at,
                        known=command.iteration,
                    )
                case ContinueTrial():
                    worker = self._live[command.trial_id]
                    worker.until, worker.save_at, worker.waits = command.until, command.save_at, False
                    worker.config = command.config or worker.config
                case PauseTrial():
                    worker = self._live.pop(command.trial_id)
                    if command.save:
                        events.append(self._checkpoint(worker))
                    events.append(TrialPaused(worker.trial_id, worker.lease))
                case StopTrial():
                    worker = self._live.pop(command.trial_id)
                    events.append(TrialCompleted(worker.trial_id, worker.lease, command.reason))
                case _:
                    pass
        return events

    def work(self, now: float) -> list[Event]:
        events: list[Event] = []
        for worker in list(self._live.values()):
            if not worker.waits:
                events += self._iterate(worker, now)
        return events

    def _iterate(self, worker: _Worker, now: float) -> list[Event]:
        worker.iteration += 1
        here = (worker.trial_id, worker.iteration)
        if self._faults.get(here, 0) > 0:
            self._faults[here] -= 1
            del self._live[worker.trial_id]
            return [TrialFaulted(worker.trial_id, worker.lease, FaultKind.TRAINABLE, "scripted fault")]
        done = worker.iteration >= self._script.length * self.life
        worker.waits = worker.iteration == worker.until and not done
        is_known = worker.iteration <= worker.known
        results = () if is_known else (self._result(worker, done, now),)
        events: list[Event] = []
        if worker.iteration == worker.save_at:
            events.append(self._checkpoint(worker))
        events.append(ResultsReported(worker.trial_id, worker.lease, results, worker.waits))
        if done:
            del self._live[worker.trial_id]
            events.append(TrialCompleted(worker.trial_id, worker.lease, "done"))
        return events

    def _result(self, worker: _Worker, done: bool, now: float) -> Result:
        metrics = self._script.metrics(worker.config, worker.iteration)
        return Result(worker.iteration, metrics, 1.0, float(worker.iteration), now, done)

    def _checkpoint(self, worker: _Worker) -> CheckpointSaved:
        self._saved += 1
        path = f"ckpt/{worker.trial_id}/{self._saved}"
        return CheckpointSaved(
            worker.trial_id, worker.lease, CheckpointRef(path, worker.iteration, "0" * 64, 0)
        )
