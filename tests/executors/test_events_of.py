from tune_flows.core.events import CheckpointSaved, ResultsReported
from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.executors.base import events_of
from tune_flows.worker import Batch, Outcome


def result(iteration):
    return Result(iteration, {}, 1.0, float(iteration), 0.0)


def ref(iteration):
    return CheckpointRef(f"c{iteration}", iteration, "", 0)


def reported(*iterations, waits=False):
    return ResultsReported("t", 2, tuple(map(result, iterations)), waits)


def saved(iteration):
    return CheckpointSaved("t", 2, ref(iteration))


def events(iterations, checkpoints, outcome):
    batch = Batch(tuple(map(result, iterations)), tuple(map(ref, checkpoints)), outcome)
    return events_of("t", 2, batch)


def test_a_checkpoint_comes_right_before_the_result_of_its_iteration():
    assert events([1, 2, 3, 4], [2, 4], Outcome.WAITS) == [
        reported(1),
        saved(2),
        reported(2, 3),
        saved(4),
        reported(4, waits=True),
    ]


def test_a_checkpoint_of_a_known_iteration_comes_first():
    assert events([4], [2, 3], Outcome.RUNNING) == [saved(2), saved(3), reported(4)]


def test_a_checkpoint_that_took_longer_comes_before_the_results_after_it():
    assert events([4, 5], [2, 5], Outcome.WAITS) == [saved(2), reported(4), saved(5), reported(5, waits=True)]
    assert events([], [2], Outcome.RUNNING) == [saved(2)]


def test_waiting_is_told_without_results_too():
    assert events([], [], Outcome.WAITS) == [reported(waits=True)]
    assert events([], [], Outcome.RUNNING) == []


def test_the_end_of_a_lease_is_not_in_it():
    assert events([1], [], Outcome.COMPLETED) == [reported(1)]
