"""Interrupts at any moment, from another thread: no result is lost or told twice, nobody waits for ever."""

import itertools
import math
import random
import sys
import threading

import pytest

from tests.trainable.samples import Counter, make_host
from tune_flows.trainable import Checkpoint, report
from tune_flows.worker import AdvanceRequest, Outcome, StartTrial, StepClock


def count(config):
    for i in itertools.count(1):
        report({"count": i}, checkpoint=Checkpoint.from_dict({"count": i}) if i % 7 == 0 else None)


@pytest.fixture
def _frequent_thread_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("upload_beside", [False, True])
@pytest.mark.parametrize("trainable", [count, Counter])
@pytest.mark.usefixtures("_frequent_thread_switches")
def test_interrupts_at_any_moment(trainable, upload_beside):
    rng = random.Random(1)
    host = make_host(trainable, clock=StepClock(), checkpoint_frequency=7, upload_beside=upload_beside)
    over = threading.Event()

    def disturb():
        while not over.wait(rng.random() * 0.001):
            host.interrupt()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for trial in range(20):
            host.start(StartTrial(f"t{trial}", 1, {}))
            done, until, saved = 0, rng.randint(1, 200), []
            request = AdvanceRequest(until)
            for _ in range(20):
                batch_s, max_results = rng.choice([0, 0.001, math.inf]), rng.choice([1, 7, 1000])
                batch = host.advance(request, batch_s=batch_s, max_results=max_results)
                request = None
                expected = list(range(done + 1, done + 1 + len(batch.results)))
                assert [r.iteration for r in batch.results] == expected
                assert [r.metrics["count"] for r in batch.results] == expected
                done += len(expected)
                saved += [checkpoint.iteration for checkpoint in batch.checkpoints]
                assert all(iteration <= done for iteration in saved)
                if batch.outcome is Outcome.WAITS:
                    assert done == until
                    until += rng.randint(1, 200)
                    request = AdvanceRequest(until)
            saved += [checkpoint.iteration for checkpoint in host.finish(save=True)]
            at_end = [done] if trainable is Counter and done % 7 else []
            assert saved == [*range(7, done + 1, 7), *at_end]
    finally:
        over.set()
        disturber.join()
        host.close()
    assert not host.is_stuck
