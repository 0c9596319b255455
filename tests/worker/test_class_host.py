"""A class Trainable in the host."""

import math
import pickle
from threading import Event

import pytest

from tests.trainable.samples import Counter, FullStorage, iterations, make_host
from tune_flows.core.errors import (
    CorruptJournalError,
    InfrastructureError,
    InvalidTransition,
    RestoreError,
    TrainableError,
)
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.trainable import Trainable, with_parameters
from tune_flows.worker import AdvanceRequest, Outcome, StartTrial


@pytest.fixture(autouse=True)
def _fresh_counter(monkeypatch):
    monkeypatch.setattr(Counter, "ended", [])


def started(host, **fields):
    host.start(StartTrial(**({"trial_id": "t", "lease": 1, "config": {}} | fields)))
    return host


def test_trains_to_the_decision_point_and_waits():
    host = started(make_host(Counter))
    batch = host.advance(AdvanceRequest(until=3))

    assert batch.outcome is Outcome.WAITS
    assert [(r.iteration, r.metrics, r.time_this_iter_s, r.time_total_s) for r in batch.results] == [
        (1, {"count": 1}, 1.0, 1.0),
        (2, {"count": 2}, 1.0, 2.0),
        (3, {"count": 3}, 1.0, 3.0),
    ]
    assert {(r.timestamp, r.done) for r in batch.results} == {(1000.0, False)}
    assert iterations(host.advance(AdvanceRequest(until=5))) == [4, 5]


def test_stops_at_exactly_the_step_that_meets_a_criterion():
    host = started(make_host(Counter, stop={"count": 4, "training_iteration": 100}))
    batch = host.advance(AdvanceRequest())

    assert batch.outcome is Outcome.COMPLETED
    assert batch.reason == "stop: count >= 4"
    assert [r.done for r in batch.results] == [False, False, False, True]
    assert Counter.ended == ["t"]
    assert host.finish(save=True) == ()
    with pytest.raises(InvalidTransition, match="no trial is here"):
        host.advance(None)


def test_done_ends_the_trial_even_at_its_decision_point():
    batch = started(make_host(Counter), config={"done_at": 2}).advance(AdvanceRequest(until=2))

    assert (batch.outcome, batch.reason) == (Outcome.COMPLETED, "done")
    assert "done" not in batch.results[-1].metrics


def test_batches_by_count_and_by_time():
    host = started(make_host(Counter))

    assert iterations(host.advance(AdvanceRequest(until=5), max_results=2)) == [1, 2]
    batch = host.advance(None, batch_s=0)
    assert (iterations(batch), batch.outcome) == ([3], Outcome.RUNNING)
    batch = host.advance(None, batch_s=math.inf)
    assert (iterations(batch), batch.outcome) == ([4, 5], Outcome.WAITS)


@pytest.mark.parametrize("files", [False, True, "returned"])
def test_saves_by_frequency_and_on_demand_and_restores(files):
    host = started(make_host(Counter, checkpoint_frequency=2), config={"files": files})
    batch = host.advance(AdvanceRequest(until=5, save_at=5))

    assert [c.iteration for c in batch.checkpoints] == [2, 4, 5]
    assert host.save() == ()  # the newest one is of this moment
    host.advance(AdvanceRequest(until=7))
    (saved,) = host.finish(save=True)
    assert saved.iteration == 7

    started(host, lease=2, config={"files": files}, iteration=7, time_total_s=7.0, checkpoint=saved)
    result = host.advance(AdvanceRequest(until=8)).results[0]
    assert (result.iteration, result.metrics, result.time_total_s) == (8, {"count": 8}, 8.0)


def test_an_older_checkpoint_is_caught_up_with_silently():
    host = started(make_host(Counter))
    at_6 = host.advance(AdvanceRequest(until=6, save_at=6)).checkpoints[0]
    again = {"lease": 2, "iteration": 9, "time_total_s": 90.0, "checkpoint": at_6}

    batch = started(host, **again).advance(AdvanceRequest(until=11))
    assert [(r.iteration, r.metrics["count"], r.time_total_s) for r in batch.results] == [
        (10, 10, 91.0),
        (11, 11, 92.0),
    ]

    batch = started(host, **again).advance(AdvanceRequest(until=9, save_at=9))
    assert (batch.outcome, batch.results) == (Outcome.WAITS, ())
    assert [c.iteration for c in batch.checkpoints] == [9]


def test_at_the_known_iteration_it_waits_at_once():
    host = started(make_host(Counter))
    saved = host.advance(AdvanceRequest(until=2, save_at=2)).checkpoints[0]
    batch = started(host, lease=2, iteration=2, checkpoint=saved).advance(AdvanceRequest(until=2))

    assert (batch.outcome, batch.results, batch.checkpoints) == (Outcome.WAITS, (), ())


def test_repeating_honours_the_end():
    host = make_host(Counter, stop={"count": 3}, checkpoint_at_end=True)
    batch = started(host, iteration=3).advance(AdvanceRequest(until=3))

    assert (batch.outcome, batch.results) == (Outcome.COMPLETED, ())
    assert [c.iteration for c in batch.checkpoints] == [3]


def test_checkpoint_at_end_is_saved_once():
    host = started(make_host(Counter, stop={"count": 4}, checkpoint_frequency=2, checkpoint_at_end=True))

    assert [c.iteration for c in host.advance(AdvanceRequest()).checkpoints] == [2, 4]


def test_exploit_goes_on_from_another_trials_checkpoint_with_its_own_count():
    host = started(make_host(Counter))
    source = host.advance(AdvanceRequest(until=6, save_at=6)).checkpoints[0]
    started(host, trial_id="u", config={"lr": 1}).advance(AdvanceRequest(until=2))
    batch = host.advance(AdvanceRequest(until=3, config={"lr": 2}, checkpoint=source))

    assert [(r.iteration, r.metrics["count"]) for r in batch.results] == [(3, 7)]
    assert Counter.ended == ["t", "u"]  # the instance was replaced


def test_reset_config_keeps_the_instance():
    class Resettable(Counter):
        def reset_config(self, new_config):
            return True

    host = started(make_host(Resettable))
    source = host.advance(AdvanceRequest(until=2, save_at=2)).checkpoints[0]
    result = host.advance(AdvanceRequest(until=3, config={"done_at": 3}, checkpoint=source)).results[0]
    assert (result.iteration, result.metrics["count"], result.done) == (3, 3, True)

    host.start(StartTrial("a", 1, {}))
    host.advance(AdvanceRequest(until=1))
    host.start(StartTrial("b", 1, {}, keep_from=True))
    assert host.advance(AdvanceRequest(until=1)).results[0].metrics == {"count": 2}
    assert Counter.ended == ["t"]


def test_a_start_ends_the_trial_before_it_and_begins_afresh():
    host = started(make_host(Counter))
    host.advance(AdvanceRequest(until=3))
    started(host, trial_id="u")

    assert host.advance(AdvanceRequest(until=1)).results[0].metrics == {"count": 1}
    assert Counter.ended == ["t"]


def test_interrupt_comes_between_two_steps():
    reached = Event()

    class Interrupting(Counter):
        def step(self):
            if self.iteration == 2:
                host.interrupt()
                reached.set()
            return super().step()

    host = started(make_host(Interrupting))
    batch = host.advance(AdvanceRequest())
    assert reached.is_set()
    assert (iterations(batch), batch.outcome) == ([1, 2, 3], Outcome.INTERRUPTED)
    (saved,) = host.save()
    assert saved.iteration == 3
    assert iterations(host.advance(AdvanceRequest(until=4))) == [4]


def test_start_forgets_an_interrupt():
    host = started(make_host(Counter))
    host.interrupt()
    assert host.advance(AdvanceRequest(until=2)).outcome is Outcome.INTERRUPTED
    host.interrupt()
    assert started(host).advance(AdvanceRequest(until=2)).outcome is Outcome.WAITS


def test_a_fault_comes_after_the_results_before_it():
    host = started(make_host(Counter), config={"fail_at": 3})
    batch = host.advance(AdvanceRequest())
    assert (iterations(batch), batch.outcome) == ([1, 2], Outcome.RUNNING)

    with pytest.raises(TrainableError) as caught:
        host.advance(None)
    error = pickle.loads(pickle.dumps(caught.value))
    lines = str(error).splitlines()
    assert lines[0] == "ValueError: boom"
    assert lines[2] == "Traceback (most recent call last):"
    assert "samples.py" in lines[3]  # not our own frames
    assert isinstance(caught.value.__cause__, ValueError)
    assert Counter.ended == ["t"]
    started(host)  # ready for the next trial


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"setup": lambda self, config: 1 / 0}, "ZeroDivisionError"),
        ({"step": lambda self: None}, "expected a dict of metrics"),
        ({"step": lambda self: exit(3)}, "SystemExit: 3"),
        ({"save_checkpoint": lambda self, folder: None}, "wrote no file and returned nothing"),
        ({"save_checkpoint": lambda self, folder: "x"}, "got a str"),
        (
            {"save_checkpoint": lambda self, folder: (folder / "x").mkdir() or {"a": 1}},
            "either files or a dict",
        ),
        ({"save_checkpoint": lambda self, folder: {"a": lambda: 0}}, "pickle"),
    ],
)
def test_faults_of_user_code(bad, message):
    host = make_host(type("Bad", (Counter,), bad), checkpoint_frequency=1)

    with pytest.raises(TrainableError, match=message):
        started(host).advance(AdvanceRequest())


def test_a_fault_in_load_checkpoint():
    class Bad(Counter):
        def load_checkpoint(self, checkpoint):
            raise KeyError("weights")

    host = started(make_host(Bad))
    saved = host.advance(AdvanceRequest(until=1, save_at=1)).checkpoints[0]
    with pytest.raises(TrainableError, match="KeyError: 'weights'"):
        started(host, checkpoint=saved, iteration=1)
    assert Counter.ended == ["t", "t"]


def test_faults_of_the_storage_are_not_the_users():
    host = started(make_host(Counter, checkpoints=FullStorage(), checkpoint_frequency=2))
    assert iterations(host.advance(AdvanceRequest())) == [1]
    with pytest.raises(InfrastructureError, match="t: storing the checkpoint of iteration 2 failed: OSError"):
        host.advance(None)

    saved = started(make_host(Counter)).advance(AdvanceRequest(until=1, save_at=1)).checkpoints[0]
    with pytest.raises(InfrastructureError, match="restoring the checkpoint of iteration 1"):
        started(host, checkpoint=saved, iteration=1)


def test_a_checkpoint_that_cannot_be_fetched_is_told_apart():
    class Torn(MemoryCheckpoints):
        def restore(self, ref, target):
            raise CorruptJournalError("torn")

    storage = Torn()
    host = started(make_host(Counter, checkpoints=storage))
    saved = host.advance(AdvanceRequest(until=1, save_at=1)).checkpoints[0]
    with pytest.raises(RestoreError, match=r"restoring the checkpoint of iteration 1 .* torn"):
        started(host, checkpoint=saved)


def test_without_checkpoint_methods_nothing_is_saved():
    class Plain(Trainable):
        def step(self):
            return {"x": self.iteration}

    host = started(make_host(Plain, checkpoint_at_end=True, stop={"x": 4}))
    assert host.advance(AdvanceRequest(until=2, save_at=2)).checkpoints == ()
    assert host.save() == ()
    batch = started(host, iteration=2).advance(AdvanceRequest(until=3))
    assert [(r.iteration, r.metrics["x"]) for r in batch.results] == [(3, 2)]


def test_a_fault_in_cleanup_is_only_logged(caplog):
    class Messy(Counter):
        def cleanup(self):
            raise OSError("gone")

    batch = started(make_host(Messy, stop={"count": 1})).advance(AdvanceRequest())

    assert batch.outcome is Outcome.COMPLETED
    assert "ending it raised" in caplog.text


def test_the_config_is_the_trainables_own():
    class Greedy(Counter):
        def setup(self, config):
            config["layers"].append(4)
            super().setup(config)

    config = {"layers": [1]}
    started(make_host(Greedy), config=config)

    assert config == {"layers": [1]}


def test_parameters_reach_setup():
    class WantsData(Counter):
        def setup(self, config, data):
            self.count = len(data)

    host = started(make_host(with_parameters(WantsData, data=[1, 2])))
    assert host.advance(AdvanceRequest(until=1)).results[0].metrics == {"count": 3}


def test_local_files_are_removed(tmp_path):
    host = started(make_host(Counter, scratch=tmp_path / "new", checkpoint_frequency=1))
    host.advance(AdvanceRequest(until=3))
    assert len(list((tmp_path / "new").iterdir())) == 1
    host.close()
    assert list((tmp_path / "new").iterdir()) == []
