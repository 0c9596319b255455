"""How long a trial has been silent: what an executor asks that suspects it to hang."""

import threading

from tests.trainable.samples import make_host
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.trainable import Trainable, report
from tune_flows.worker import AdvanceRequest, StartTrial, StepClock


class Seconds:
    """A timer that stands still until it is told otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def started(trainable, **options):
    timer = Seconds()
    host = make_host(trainable, clock=StepClock(timer=timer), **options)
    host.start(StartTrial("t", 1, {}))
    return host, timer


def test_the_begin_and_the_end_of_a_step_are_signs():
    asked = []

    class Steps(Trainable):
        def step(self):
            timer.now += 5
            asked.append(host.idle_s)
            timer.now += 2
            return {}

    host, timer = started(Steps)
    host.advance(AdvanceRequest(until=2))
    assert asked == [5, 5]
    assert host.idle_s == 0
    timer.now += 100  # it waits for a decision
    host.advance(AdvanceRequest(until=3))
    assert asked == [5, 5, 5]


def test_a_report_is_a_sign():
    reported, go = threading.Event(), threading.Event()

    def train(config):
        report({})
        reported.set()
        go.wait(30)

    host, timer = started(train)
    host.advance(AdvanceRequest(), batch_s=0.01)
    assert reported.wait(30)
    timer.now += 7
    assert host.advance(None, batch_s=0.01).idle_s == 7
    go.set()
    host.close()


def test_setup_counts_too():
    asked = []

    class Slow(Trainable):
        def setup(self, config):
            timer.now += 9
            asked.append(host.idle_s)

        def step(self):
            return {}

    timer = Seconds()
    host = make_host(Slow, clock=StepClock(timer=timer))
    timer.now = 50
    host.start(StartTrial("t", 1, {}))
    assert asked == [9]


def test_the_storages_time_does_not_count():
    asked = []

    class Away(MemoryCheckpoints):
        def save(self, *args, **kwargs):
            timer.now += 60
            asked.append(host.idle_s)
            return super().save(*args, **kwargs)

    class Saves(Trainable):
        def step(self):
            return {}

        def save_checkpoint(self, checkpoint_dir):
            return {"x": 1}

        def load_checkpoint(self, checkpoint):
            pass

    host, timer = started(Saves, checkpoints=Away(), checkpoint_frequency=1)
    host.advance(AdvanceRequest(until=1))
    assert asked == [0]
    assert host.idle_s == 0
