"""Whole experiments in virtual time, on a real journal in a local folder or in memory.

A run of an experiment that was interrupted carries its virtual time on: the crash itself costs none.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import PrivateAttr

from tests.experiment.memory_store import MemoryFolder, MemoryStore
from tune_flows.core.decisions import CONTINUE, STOP
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.space import ParamSpace, uniform
from tune_flows.core.state import ExperimentState
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.executors.simulated.in_flight import steps_under_way
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.experiment.driver import Driver
from tune_flows.experiment.experiment import Experiment, history
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.schedulers import TrialScheduler, parse_scheduler
from tune_flows.search import parse_search_alg
from tune_flows.store import Journal, ObjectStore
from tune_flows.trainable import Trainable

SPACE = {"x": uniform(0, 1), "model": {"layers": 2}}
EPOCH_S = 1_700_000_000.0


class Curve(Trainable):
    """Climbs with its own slope."""

    def setup(self, config):
        self.height = 0.0

    def step(self):
        self.height += self.config["x"]
        return {"score": self.height, "n": self.iteration}

    def save_checkpoint(self, checkpoint_dir):
        return {"height": self.height}

    def load_checkpoint(self, checkpoint):
        self.height = checkpoint["height"]


class Silent(Curve):
    """Never reports the metric."""

    def step(self):
        return {"loss": 1.0}


class Odd(Curve):
    """Reports what tables have a hard time with."""

    def step(self):
        odd: dict[str, Any] = {"score": math.nan if self.iteration == 1 else 1.0, "loss": math.inf}
        if self.iteration % 2:
            odd |= {"seldom": self.iteration, "flag": True}
        odd["mixed"] = "text" if self.iteration % 2 else [1, math.nan]
        return odd | {"error": 0.5, "big": 2**70 if self.iteration == 1 else 1, "always": self.iteration}


class Greedy(TrialScheduler):
    """Decides at every step: a trial that falls behind the best of its age ends."""

    _best: dict[int, float] = PrivateAttr(default_factory=dict)
    _objective: Objective = PrivateAttr()

    def setup(self, *, objective, space, seed):
        self._objective = objective

    def on_trial_result(self, trial, result):
        score = self._objective.score(result)
        best = max(self._best.get(result.iteration, -math.inf), score)
        self._best[result.iteration] = best
        return STOP if score < 0.5 * best else CONTINUE


class Crash(Exception):
    """The driver's process is gone."""


class DyingStore(ObjectStore):
    """Dies at the `writes`-th entry of the log, before or after it is durable."""

    def __init__(self, url: str, *, writes: int, durable: bool) -> None:
        super().__init__(url)
        self._left = writes
        self._durable = durable

    def create(self, key: str, data: bytes) -> bool:
        if not key.startswith("log/"):
            return super().create(key, data)
        self._left -= 1
        if self._left > 0:
            return super().create(key, data)
        if self._left == 0 and self._durable:
            super().create(key, data)
        raise Crash(key)


def step_time(config, iteration):
    return 0.5 + config["x"]


@dataclass
class SimulatedExperiment:
    """One experiment's parameters; `run` drives it to its end."""

    url: str = "/memory/experiment"
    scheduler: Any = None
    search_alg: Any = field(default_factory=lambda: {"type": "random", "seed": 5})
    space: Any = field(default_factory=lambda: SPACE)
    num_samples: int | None = 6
    slots: int = 2
    stop: dict[str, float] = field(default_factory=lambda: {"training_iteration": 9})
    rules: Rules = field(default_factory=Rules)
    resume: Any = "auto"
    metric: str | None = "score"
    trainable: Any = Curve
    checkpoints: Any = field(default_factory=MemoryCheckpoints)
    checkpoint_frequency: int = 0
    executor: type[SimulatedExecutor] = SimulatedExecutor
    fault: Any = None
    step_time: Any = step_time
    observers: list[Any] = field(default_factory=list)
    snapshot_every: int = 15
    folder: MemoryFolder | None = None
    """Where the experiment lies, if not at `url`."""

    def objects(self) -> ObjectStore:
        return ObjectStore(self.url) if self.folder is None else MemoryStore(self.folder)

    def experiment(self, store: ObjectStore | None = None, seed: int = 3) -> Experiment:
        search_alg, scheduler = parse_search_alg(self.search_alg), parse_scheduler(self.scheduler)
        space = ParamSpace.parse(self.space)
        return Experiment(
            store=store or self.objects(),
            spec=ExperimentSpec(
                trainable=f"{self.trainable.__module__}:{self.trainable.__qualname__}",
                param_space=space.to_json(),
                metric=self.metric,
                mode="max",
                search_alg=search_alg.to_config(),
                scheduler=scheduler.to_config(),
                seed=seed,
            ),
            space=space,
            search_alg=search_alg,
            scheduler=scheduler,
            rules=replace(self.rules, stop=self.stop),
            num_samples=self.num_samples,
            resume=self.resume,
        )

    def driver(self, experiment: Experiment, **options: Any) -> Driver:
        past = list(history(self.journal()))
        executor = self.executor(
            self.trainable,
            slots=self.slots,
            step_time_s=self.step_time,
            checkpoints=self.checkpoints,
            checkpoint_frequency=self.checkpoint_frequency,
            checkpoint_at_end=self.rules.checkpoint_at_end,
            stop=self.stop,
            start_time=max((at for at, _ in past), default=EPOCH_S),
            under_way=steps_under_way(past),
            fault=self.fault,
        )
        return Driver(
            experiment=experiment,
            executor=executor,
            checkpoints=self.checkpoints,
            clock=executor.now,
            observers=self.observers,
            snapshot_every=self.snapshot_every,
            **options,
        )

    def run(self, store: ObjectStore | None = None) -> ExperimentState:
        experiment = self.experiment(store)
        state = experiment.look()
        if state is not None and experiment.is_over(state):
            return state
        return asyncio.run(self.driver(experiment).run())

    def run_and_die(self, writes: int, *, durable: bool) -> ExperimentState | None:
        """Run, and die at the `writes`-th entry of the log; the state if it ended before."""
        try:
            return self.run(DyingStore(self.url, writes=writes, durable=durable))
        except Crash:
            return None

    def journal(self) -> Journal:
        """The whole of it, from its first entry on."""
        return Journal.read(self.objects(), whole=True)

    def records(self, *kinds: type) -> list[Any]:
        every = [record for _, records in history(self.journal()) for record in records]
        return [record for record in every if isinstance(record, kinds)] if kinds else every

    def entries(self) -> int:
        return len(list(self.journal().entries()))
