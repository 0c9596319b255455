"""A training function in the host."""

import contextvars
import math
import threading

import pytest

from tests.trainable.samples import FullStorage, iterations, make_host, run_to_halt
from tune_flows.core.errors import InfrastructureError, TrainableError, UserError
from tune_flows.trainable import (
    Checkpoint,
    TrialInterrupted,
    get_checkpoint,
    get_context,
    report,
    with_parameters,
)
from tune_flows.worker import AdvanceRequest, Outcome, StartTrial, StepClock

DEADLINE_S = 10


def count(config):
    """Counts from its checkpoint on; reports a checkpoint at every `every`-th."""
    restored = get_checkpoint()
    done = restored.to_dict()["count"] if restored is not None else 0
    for i in range(done + 1, config.get("n", 1000) + 1):
        every = config.get("every")
        checkpoint = Checkpoint.from_dict({"count": i}) if every and i % every == 0 else None
        report({"count": i}, checkpoint=checkpoint)


def started(host, **fields):
    host.start(StartTrial(**({"trial_id": "t", "lease": 1, "config": {}} | fields)))
    return host


@pytest.fixture
def make():
    hosts = []

    def make_and_close(*args, **options):
        hosts.append(make_host(*args, **options))
        return hosts[-1]

    yield make_and_close
    for host in hosts:
        host.close()
        assert not host.is_stuck
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tune-")]


def test_trains_to_the_decision_point_and_waits(make):
    host = started(make(count))
    batch = run_to_halt(host, AdvanceRequest(until=3))

    assert batch.outcome is Outcome.WAITS
    assert [(r.iteration, r.metrics, r.time_this_iter_s, r.time_total_s) for r in batch.results] == [
        (1, {"count": 1}, 1.0, 1.0),
        (2, {"count": 2}, 1.0, 2.0),
        (3, {"count": 3}, 1.0, 3.0),
    ]
    assert iterations(run_to_halt(host, AdvanceRequest(until=5))) == [4, 5]


def test_report_does_not_return_at_the_decision_point_before_the_host_says_so(make):
    passed = []

    def train(config):
        for i in range(1, 5):
            report({"i": i})
            passed.append(i)

    host = started(make(train))
    run_to_halt(host, AdvanceRequest(until=2))
    assert passed == [1]
    run_to_halt(host, AdvanceRequest(until=3))
    assert passed == [1, 2]
    assert run_to_halt(host, AdvanceRequest()).reason == "returned"
    assert passed == [1, 2, 3, 4]


def test_the_batch_is_bounded(make):
    host = started(make(count))

    batch = host.advance(AdvanceRequest(until=5), batch_s=math.inf, max_results=2)
    assert (iterations(batch), batch.outcome) == ([1, 2], Outcome.RUNNING)
    assert iterations(host.advance(None, batch_s=math.inf, max_results=2)) == [3, 4]
    assert iterations(host.advance(None, batch_s=math.inf, max_results=2)) == [5]


def test_a_slow_step_is_handed_over_at_once(make):
    go = threading.Event()

    def train(config):
        report({"x": 1})
        go.wait(DEADLINE_S)

    days = iter(range(0, 10**9, 86_400))
    host = started(make(train, clock=StepClock(timer=lambda: float(next(days)))))
    batch = host.advance(AdvanceRequest(), batch_s=80_000)
    assert (iterations(batch), batch.outcome) == ([1], Outcome.RUNNING)
    go.set()


def test_a_batch_may_be_empty(make):
    go = threading.Event()

    def train(config):
        go.wait(DEADLINE_S)
        report({"x": 1})

    host = started(make(train))
    assert host.advance(AdvanceRequest(), batch_s=0.001).results == ()
    go.set()
    assert iterations(run_to_halt(host, None)) == [1]


def test_stops_at_exactly_the_step_that_meets_a_criterion(make):
    seen = []

    def train(config):
        try:
            for i in range(1, 100):
                seen.append(i)
                report({"x": i})
        except TrialInterrupted:
            seen.append("interrupted")
            raise

    batch = run_to_halt(started(make(train, stop={"x": 4})), AdvanceRequest())
    assert (batch.outcome, batch.reason) == (Outcome.COMPLETED, "stop: x >= 4")
    assert [r.done for r in batch.results] == [False, False, False, True]
    assert seen == [1, 2, 3, 4, "interrupted"]


@pytest.mark.parametrize("reported", [0, 2])
def test_a_returned_dict_is_the_last_result(make, reported):
    def train(config):
        for _ in range(reported):
            report({"x": 1})
        return {"final": {"x": 2}}

    batch = run_to_halt(started(make(train)), AdvanceRequest(until=5))
    assert (batch.outcome, batch.reason) == (Outcome.COMPLETED, "returned")
    last = batch.results[-1]
    assert (last.iteration, last.metrics, last.done) == (reported + 1, {"final/x": 2}, True)


def test_a_function_that_reports_nothing_completes(make):
    batch = run_to_halt(started(make(lambda config: None)), AdvanceRequest())

    assert (batch.outcome, batch.results) == (Outcome.COMPLETED, ())


def test_yielded_dicts_are_reported_and_the_generator_is_closed(make):
    closed = []

    def train(config):
        try:
            for i in range(10):
                yield {"i": i}
        finally:
            closed.append(True)

    host = started(make(train))
    assert iterations(run_to_halt(host, AdvanceRequest(until=2))) == [1, 2]
    host.finish(save=False)
    assert closed == [True]


def test_done_ends_the_trial(make):
    def train(config):
        report({"x": 1, "done": True})
        raise AssertionError("not reached")

    assert run_to_halt(started(make(train)), AdvanceRequest()).reason == "done"


@pytest.mark.parametrize("as_folder", [False, True])
def test_reported_checkpoints_are_durable_and_restored(make, tmp_path, as_folder):
    def train(config):
        restored = get_checkpoint()
        if restored is None:
            done = 0
        elif as_folder:
            with restored.as_directory() as folder:
                done = int((folder / "n").read_text())
        else:
            done = restored.to_dict()["n"]
        for i in range(done + 1, 10):
            if as_folder:
                (tmp_path / "n").write_text(str(i))
                report({"i": i}, checkpoint=Checkpoint.from_directory(tmp_path))
            else:
                report({"i": i}, checkpoint=Checkpoint.from_dict({"n": i}))

    host = started(make(train))
    batch = run_to_halt(host, AdvanceRequest(until=3, save_at=3))
    assert [c.iteration for c in batch.checkpoints] == [1, 2, 3]
    assert host.save() == ()

    started(host, lease=2, iteration=3, checkpoint=batch.checkpoints[-1])
    batch = run_to_halt(host, AdvanceRequest(until=4))
    assert [(r.iteration, r.metrics) for r in batch.results] == [(4, {"i": 4})]


def test_an_older_checkpoint_is_caught_up_with_silently(make):
    host = started(make(count), config={"every": 6})
    at_6 = run_to_halt(host, AdvanceRequest(until=7)).checkpoints[0]
    assert at_6.iteration == 6

    started(host, lease=2, iteration=9, time_total_s=90.0, checkpoint=at_6)
    batch = run_to_halt(host, AdvanceRequest(until=10))
    assert [(r.iteration, r.metrics["count"], r.time_total_s) for r in batch.results] == [(10, 10, 91.0)]


def test_without_a_checkpoint_it_starts_over_silently(make):
    host = started(make(count), iteration=4)
    assert run_to_halt(host, AdvanceRequest(until=4)).results == ()
    assert iterations(run_to_halt(host, AdvanceRequest(until=6))) == [5, 6]


def test_exploit_begins_the_function_again(make):
    host = started(make(count), config={"every": 6})
    source = run_to_halt(host, AdvanceRequest(until=6)).checkpoints[0]
    started(host, trial_id="u")
    run_to_halt(host, AdvanceRequest(until=2))
    batch = run_to_halt(host, AdvanceRequest(until=4, config={"n": 8}, checkpoint=source))

    assert [(r.iteration, r.metrics["count"]) for r in batch.results] == [(3, 7), (4, 8)]
    assert run_to_halt(host, AdvanceRequest()).reason == "returned"


def test_interrupt_comes_between_two_steps(make):
    def train(config):
        for i in range(1, 100):
            if i == 3:
                host.interrupt()
            report({"i": i})

    host = started(make(train))
    batch = run_to_halt(host, AdvanceRequest(), batch_s=math.inf)
    assert (iterations(batch), batch.outcome) == ([1, 2, 3], Outcome.INTERRUPTED)
    assert iterations(run_to_halt(host, AdvanceRequest(until=5))) == [4, 5]
    host.interrupt()
    assert run_to_halt(host, AdvanceRequest()).outcome is Outcome.INTERRUPTED


def test_interrupt_waits_for_the_step_under_way_no_longer_than_a_batch(make):
    stepping, go = threading.Event(), threading.Event()

    def train(config):
        report({"x": 1})
        stepping.set()
        go.wait(DEADLINE_S)
        report({"x": 2})

    host = started(make(train))
    run_to_halt(host, AdvanceRequest(until=1))
    host.advance(AdvanceRequest(), batch_s=0)
    assert stepping.wait(DEADLINE_S)
    host.interrupt()
    assert host.advance(None, batch_s=0.001).outcome is Outcome.RUNNING
    go.set()
    batch = run_to_halt(host, None)
    assert (iterations(batch), batch.outcome) == ([2], Outcome.INTERRUPTED)


def test_finish_ends_a_function_that_swallows_exceptions(make):
    def train(config):
        while True:
            try:
                report({"x": 1})
            except Exception:
                pass

    host = started(make(train))
    run_to_halt(host, AdvanceRequest(until=1))
    host.finish(save=False)
    assert not host.is_stuck


def test_a_thread_that_does_not_end_is_told():
    go = threading.Event()

    def train(config):
        try:
            report({"x": 1})
        finally:
            go.wait(DEADLINE_S)

    host = started(make_host(train, join_timeout_s=0.01))
    run_to_halt(host, AdvanceRequest(until=1))
    host.finish(save=False)
    assert host.is_stuck
    with pytest.raises(InfrastructureError, match="end this process"):
        started(host, trial_id="u")
    go.set()

    go.clear()
    host = started(make_host(train, join_timeout_s=0.01, stop={"x": 1}))
    assert run_to_halt(host, AdvanceRequest()).stuck
    go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("tune-"):
            thread.join(DEADLINE_S)


def test_a_fault_comes_after_the_results_before_it(make):
    def train(config):
        report({"x": 1})
        raise ValueError("boom")

    host = started(make(train))
    batch = host.advance(AdvanceRequest(), batch_s=math.inf)
    assert (iterations(batch), batch.outcome) == ([1], Outcome.RUNNING)
    with pytest.raises(TrainableError, match=r"^ValueError: boom\n\nTraceback") as caught:
        host.advance(None)
    assert "function_run.py" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (lambda config: report({"x": object()}), "reported value of 'x'"),
        (lambda config: report({"x": 1}, checkpoint={"a": 1}), "expected a Checkpoint"),  # pyright: ignore
        (lambda config: 3, "got a int, expected a dict"),
        (lambda config: exit(2), "SystemExit: 2"),
    ],
)
def test_faults_of_user_code(make, train, message):
    with pytest.raises(TrainableError, match=message):
        run_to_halt(started(make(train)), AdvanceRequest())


def test_faults_of_the_storage_are_not_the_users(make):
    seen = []

    def train(config):
        report({"x": 1})
        try:
            report({"x": 2}, checkpoint=Checkpoint.from_dict({}))
        except BaseException as error:
            seen.append(type(error))
            raise

    host = started(make(train, checkpoints=FullStorage()))
    assert iterations(host.advance(AdvanceRequest(), batch_s=math.inf)) == [1]
    with pytest.raises(
        InfrastructureError, match="storing the checkpoint of iteration 2 failed: OSError: disk"
    ):
        host.advance(None)
    assert seen == [TrialInterrupted]


def test_context(make, tmp_path):
    seen = []

    def train(config):
        seen.append(get_context())
        (get_context().trial_dir / "note").write_text("mine")
        report({"x": 1})
        seen.append(get_context())

    host = make(train, scratch=tmp_path, resources={"cpu": 2.0})
    started(host, config={"lr": 1})
    run_to_halt(host, AdvanceRequest())
    first, second = seen
    assert (first.trial_id, first.experiment_name, first.resources) == ("t", "exp", {"cpu": 2.0})
    assert (first.config, first.iteration, second.iteration) == ({"lr": 1}, 0, 1)
    assert first.trial_dir == second.trial_dir
    assert first.trial_dir.is_relative_to(tmp_path)
    assert not first.trial_dir.exists()


def test_context_variables_are_carried_over(make):
    variable = contextvars.ContextVar("variable")
    variable.set("mine")
    seen = []
    run_to_halt(started(make(lambda config: seen.append(variable.get()))), AdvanceRequest())

    assert seen == ["mine"]


def test_parameters_are_keyword_arguments(make):
    def train(config, *, data):
        report({"size": len(data)})

    host = started(make(with_parameters(train, data=[1, 2])))
    assert run_to_halt(host, AdvanceRequest()).results[0].metrics == {"size": 2}


@pytest.mark.parametrize("call", [lambda: report({"x": 1}), get_checkpoint, get_context])
def test_outside_of_a_trial(call):
    with pytest.raises(UserError, match="called outside of a trial"):
        call()
