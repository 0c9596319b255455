"""An executor that does what it may, in any order: late, twice, cut anywhere, with faults."""

import math
from dataclasses import dataclass, field
from random import Random

from tune_flows.core.commands import ContinueTrial, DeleteCheckpoint, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.events import (
    CheckpointSaved,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.core.trial import CheckpointRef, Result


@dataclass
class Worker:
    launch: LaunchSegment
    iteration: int
    until: int | None
    save_at: int | None
    config: dict
    order: PauseTrial | StopTrial | None = None
    waits: bool = False
    told: bool = False
    """Whether it has said that it waits."""
    results: list[Result] = field(default_factory=list)

    @property
    def has_more_to_say(self):
        return not self.waits or not self.told or self.order is not None


class ModelExecutor:
    """Carries out commands and checks that each one may be given.

    Args:
        random: Decides what happens.
        slots: Room for trials.
        length: Iterations after which a trial ends by itself.
        faults: How many faults there will be at most.
    """

    def __init__(self, random: Random, *, slots: int, length: int, faults: int) -> None:
        self.random = random
        self.slots = slots
        self.length = length
        self.faults = faults
        self.workers: dict[str, Worker] = {}
        self.past: list = []
        self.alive: set[str] = set()
        """Paths of checkpoints that were saved and not deleted."""
        self._saved = 0

    def obey(self, commands):
        for command in commands:
            match command:
                case LaunchSegment():
                    self._launch(command)
                case DeleteCheckpoint():
                    assert command.checkpoint.path in self.alive, "deleted twice, or never saved"
                    self.alive.remove(command.checkpoint.path)
                case ContinueTrial():
                    self._continue(command)
                case _:
                    worker = self.workers.get(command.trial_id)
                    if worker is not None and worker.launch.lease == command.lease:
                        assert worker.order is None, "ordered twice"
                        worker.order = command

    def lose_everything(self):
        self.workers = {}

    def events(self):
        """What has happened by now: at least one event."""
        events = []
        able = [worker for worker in self.workers.values() if worker.has_more_to_say]
        assert able or self.past, "nothing can ever happen"
        for worker in self.random.sample(able, self.random.randint(min(1, len(able)), len(able))):
            events += self._happens(worker)
        happened = list(events)
        for _ in range(self.random.choice([0, 0, 1, 2])):
            if self.past:
                events.insert(self.random.randint(0, len(events)), self.random.choice(self.past[-40:]))
        self.past += happened
        return events

    def _launch(self, command):
        assert command.trial_id not in self.workers, "launched twice"
        assert len(self.workers) < self.slots, "more trials than slots"
        assert command.checkpoint is None or command.checkpoint.path in self.alive, "its checkpoint is gone"
        assert command.until is None or command.until >= command.iteration
        begins = command.checkpoint.iteration if command.checkpoint else 0
        assert begins <= command.iteration
        self.workers[command.trial_id] = Worker(
            command, begins, command.until, command.save_at, command.config
        )

    def _continue(self, command):
        worker = self.workers[command.trial_id]
        assert worker.launch.lease == command.lease
        assert worker.waits, "sent on while it trains"
        assert worker.order is None, "sent on and told to end"
        assert command.until is None or command.until > worker.iteration
        assert (command.config is None) == (command.checkpoint is None)
        if command.checkpoint is not None:
            assert command.checkpoint.path in self.alive, "the checkpoint of the source is gone"
            assert command.checkpoint.iteration == worker.iteration
            worker.config = command.config
        worker.until, worker.save_at, worker.waits, worker.told = command.until, command.save_at, False, False

    def _happens(self, worker):
        trial_id, lease = worker.launch.trial_id, worker.launch.lease
        if self.faults > 0 and self.random.random() < 0.1:
            self.faults -= 1
            del self.workers[trial_id]
            kind = self.random.choice(list(FaultKind))
            return [*self._report(worker), TrialFaulted(trial_id, lease, kind, "model fault")]
        if worker.order is not None and (worker.waits or self.random.random() < 0.5):
            return [*self._report(worker), *self._end(worker, worker.order)]
        if worker.waits:
            return self._report(worker, waits=True)
        return self._train(worker)

    def _train(self, worker):
        events = []
        for _ in range(self.random.randint(1, 4)):
            worker.iteration += 1
            done = worker.iteration >= self.length
            if worker.iteration == worker.save_at or self.random.random() < 0.1:
                events += self._report(worker)
                events.append(self._save(worker))
            if worker.iteration > worker.launch.iteration:
                worker.results.append(self._result(worker, done))
            if done:
                del self.workers[worker.launch.trial_id]
                end = TrialCompleted(worker.launch.trial_id, worker.launch.lease, "done")
                return [*events, *self._report(worker), end]
            if worker.until is not None and worker.iteration >= worker.until:
                worker.waits = True
                break
        # what was done may be told now or later, and that it waits, later still
        tells_all = worker.waits and self.random.random() < 0.7
        return events + self._report(worker, waits=tells_all)

    def _end(self, worker, order):
        trial_id, lease = worker.launch.trial_id, worker.launch.lease
        del self.workers[trial_id]
        saves = order.save if isinstance(order, PauseTrial) else self.random.random() < 0.5
        events = [self._save(worker)] if saves and worker.iteration >= worker.launch.iteration > 0 else []
        if isinstance(order, PauseTrial):
            return [*events, TrialPaused(trial_id, lease)]
        return [*events, TrialCompleted(trial_id, lease, order.reason)]

    def _report(self, worker, *, waits=False):
        results, worker.results = tuple(worker.results), []
        worker.told = worker.told or waits
        if not results and not waits:
            return []
        return [ResultsReported(worker.launch.trial_id, worker.launch.lease, results, waits)]

    def _result(self, worker, done):
        quality = worker.config["x"] * worker.iteration
        metrics = {"score": self.random.choice([quality] * 8 + [math.nan, "text"])}
        return Result(worker.iteration, metrics, 1.0, float(worker.iteration), 0.0, done)

    def _save(self, worker):
        self._saved += 1
        path = f"ckpt/{worker.launch.trial_id}/{self._saved}"
        self.alive.add(path)
        ref = CheckpointRef(path, worker.iteration, "", 0)
        return CheckpointSaved(worker.launch.trial_id, worker.launch.lease, ref)
