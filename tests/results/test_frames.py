"""The rows of an experiment, also of one whose trials got several lives, and the memory that they take."""

import gc
import tracemalloc

import pytest

from tune_flows.core.codec import record_to_json
from tune_flows.core.decisions import (
    ExperimentEnded,
    FaultJudged,
    TrialDecided,
    TrialLaunched,
    TrialSuggested,
)
from tune_flows.core.events import (
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialsReopened,
)
from tune_flows.core.trial import Action, CheckpointRef, Result
from tune_flows.results.frames import ReportedResults, trials_frame
from tune_flows.store import Journal, ObjectStore


def results(*iterations, score):
    return tuple(Result(n, {"score": score}, 1.0, float(n), 1000.0 * score + n) for n in iterations)


def life(trial_id, lease, *reported):
    """A trial's way through one lease."""
    told = [ResultsReported(trial_id, lease, one) for one in reported]
    return [TrialLaunched(trial_id, lease, None), *told, TrialCompleted(trial_id, lease, "returned")]


FIRST_LIFE = [
    DriverStarted(1, 1.0),
    ExperimentExtended(2),
    TrialSuggested("a", {"x": 1}),
    TrialSuggested("b", {"x": 2}),
    *life("a", 1, results(1, 2, score=1), results(2, 3, score=1)),
    *life("b", 1, results(1, 2, score=2)),
    ExperimentEnded("all trials done"),
]


@pytest.fixture
def store(tmp_path):
    return ObjectStore(f"{tmp_path}/e")


@pytest.fixture
def journal(store):
    journal = Journal.open(store, writer="test")
    journal.create_header({})
    return journal


def commit(journal, records):
    return journal.append([record_to_json(record) for record in records], at=1.0)


def rows(reported):
    columns = ["trial_id", "training_iteration", "score", "config/x"]
    return list(reported.frame()[columns].itertuples(index=False, name=None))


def test_a_restarted_trial_has_the_rows_of_its_newest_life_alone(store, journal):
    view = Journal.read(store, whole=True)
    reported = ReportedResults()
    commit(journal, FIRST_LIFE)
    reported.read(view)
    assert rows(reported) == [("a", 1, 1, 1), ("a", 2, 1, 1), ("a", 3, 1, 1), ("b", 1, 2, 2), ("b", 2, 2, 2)]
    assert trials_frame(reported.state)["training_iteration"].tolist() == [3, 2]

    again = TrialsReopened(("a", "nobody"), restart=True)
    seq = commit(journal, [again, *life("a", 2, results(1, 2, score=5))])
    reported.read(view)
    assert rows(reported) == [("b", 1, 2, 2), ("b", 2, 2, 2), ("a", 1, 5, 1), ("a", 2, 5, 1)]
    assert reported.seq == seq
    assert trials_frame(reported.state)["training_iteration"].tolist() == [2, 2]

    anew = ReportedResults()
    anew.read(Journal.read(store, whole=True))
    assert anew == reported


def test_a_trial_that_goes_on_keeps_its_rows(store, journal):
    again = TrialsReopened(("b",), restart=False)
    commit(journal, [*FIRST_LIFE, again, *life("b", 2, results(2, 3, score=7))])
    reported = ReportedResults()
    reported.read(Journal.read(store, whole=True))
    assert rows(reported)[3:] == [("b", 1, 2, 2), ("b", 2, 2, 2), ("b", 3, 7, 2)]


def test_a_restarted_trial_that_is_still_running_is_left_alone(store, journal):
    running = [*FIRST_LIFE[:4], *life("a", 1, results(1, score=1))[:-1]]
    commit(journal, [*running, TrialsReopened(("a",), restart=True)])
    reported = ReportedResults()
    reported.read(Journal.read(store, whole=True))
    assert rows(reported) == [("a", 1, 1, 1)]


def test_reading_stops_where_it_is_told_to(store, journal):
    view = Journal.read(store, whole=True)
    first = commit(journal, FIRST_LIFE[:4])
    commit(journal, FIRST_LIFE[4:])
    reported = ReportedResults()
    reported.read(view, up_to=first)
    assert (reported.seq, rows(reported) if len(reported.frame()) else []) == (first, [])
    reported.read(view, up_to=first)
    assert reported.seq == first
    reported.read(view)
    assert len(reported.frame()) == 5


def since_restore(reported):
    frame = reported.frame()[["trial_id", "training_iteration", "iterations_since_restore"]]
    return list(frame.itertuples(index=False, name=None))


def saved(trial_id, lease, iteration, *, interim=False):
    ref = CheckpointRef(f"ckpt/{trial_id}/{lease}-{iteration}", iteration, "0", 1)
    return CheckpointSaved(trial_id, lease, ref, interim)


FAULTED = [
    DriverStarted(1, 1.0),
    ExperimentExtended(2),
    TrialSuggested("a", {"x": 1}),
    TrialLaunched("a", 1, None),
    saved("a", 1, 2),
    ResultsReported("a", 1, results(1, 2, 3, score=1)),
    TrialFaulted("a", 1, FaultKind.TRAINABLE, "boom"),
    FaultJudged("a", retry=True),
    TrialLaunched("a", 2, None),
]
BY_FAULT = [("a", 1, 1), ("a", 2, 2), ("a", 3, 3), ("a", 4, 2), ("a", 5, 3)]
"""The second lease starts from the checkpoint of iteration 2 and repeats the third, which is known."""


@pytest.mark.parametrize(
    ("further", "expected"),
    [
        ([], []),
        ([saved("a", 2, 5, interim=True), DriverStopped(6.0, "t"), DriverStarted(2, 7.0)], [(6, 1), (7, 2)]),
        ([DriverStarted(2, 7.0)], [(6, 4), (7, 5)]),
        ([saved("a", 2, 5), DriverStarted(2, 7.0)], [(6, 1), (7, 2)]),
        (
            [
                saved("a", 2, 5),
                TrialCompleted("a", 2, "stopped"),
                TrialsReopened(("a",), restart=False),
            ],
            [(6, 1), (7, 2)],
        ),
    ],
    ids=["no third", "stopped", "killed", "killed after a checkpoint", "reopened"],
)
def test_iterations_since_restore_begin_again_with_each_launch(store, journal, further, expected):
    commit(journal, [*FAULTED, ResultsReported("a", 2, results(3, 4, 5, score=1)), *further])
    if expected:
        commit(journal, [TrialLaunched("a", 3, None), ResultsReported("a", 3, results(6, 7, score=1))])
    reported = ReportedResults()
    reported.read(Journal.read(store, whole=True))
    told = [("a", *pair) for pair in expected]
    assert since_restore(reported) == [*BY_FAULT, *told]
    last = trials_frame(reported.state).iloc[0]
    assert last["iterations_since_restore"] == [*BY_FAULT, *told][-1][2]


def test_what_a_failed_attempt_repeated_does_not_change_the_last_result(store, journal):
    commit(journal, [*FAULTED, ResultsReported("a", 2, results(3, score=1))])
    reported = ReportedResults()
    reported.read(Journal.read(store, whole=True))
    assert trials_frame(reported.state)["iterations_since_restore"].tolist() == [3]


def test_iterations_since_restore_begin_again_with_a_restart_and_with_a_copy(store, journal):
    running = [TrialLaunched("a", 3, None), ResultsReported("a", 3, results(1, 2, score=1))]
    copied = TrialDecided("a", 2, Action.CONTINUE, source="b", config={"x": 2})
    commit(journal, [*FIRST_LIFE[:4], TrialLaunched("b", 1, None), saved("b", 1, 6)])
    commit(journal, [*life("a", 1, results(1, score=1)), TrialsReopened(("a",), restart=True), *running])
    commit(journal, [copied, ResultsReported("a", 3, results(3, 4, score=1))])
    reported = ReportedResults()
    reported.read(Journal.read(store, whole=True))
    assert since_restore(reported) == [("a", 1, 1), ("a", 2, 2), ("a", 3, 1), ("a", 4, 2)]


def test_columns_come_in_the_order_of_the_rows_that_are_left(store, journal):
    def reported(trial_id, lease, *each):
        told = [Result(n, metrics, 1.0, 1.0, 1.0) for n, metrics in enumerate(each, 1)]
        return life(trial_id, lease, tuple(told))

    begin = [*FIRST_LIFE[:3], TrialSuggested("b", {"y": {"z": 2}})]
    commit(journal, [*begin, *reported("a", 1, {"old": 1, "n": 1}), *reported("b", 1, {"n": 2}, {"late": 3})])
    view, rows = Journal.read(store, whole=True), ReportedResults()
    rows.read(view)
    automatic = ["iterations_since_restore", "time_this_iter_s", "time_total_s", "timestamp", "done"]
    begins = ["trial_id", "training_iteration"]
    expected = [*begins, "old", "n", *automatic, "config/x", "config/y/z", "late"]
    assert list(rows.frame().columns) == expected
    assert rows.frame()["late"].isna().tolist() == [True, True, False]

    commit(journal, [TrialsReopened(("a",), restart=True), *reported("a", 2, {"n": 4})])
    rows.read(view)
    frame = rows.frame()
    assert list(frame.columns) == [*begins, "n", *automatic, "config/y/z", "late", "config/x"]
    assert frame["n"].astype(object).where(frame["n"].notna(), None).tolist() == [2, None, 4]
    assert frame["config/x"].isna().tolist() == [True, True, False]


def test_a_metric_that_is_called_like_a_parameter_gives_way_to_it(store, journal):
    told = (Result(1, {"config/x": 7, "score": 0}, 1.0, 1.0, 1.0),)
    begin = [*FIRST_LIFE[:3], TrialSuggested("b", {})]
    commit(journal, [*begin, *life("a", 1, told), *life("b", 1, told)])
    reported = ReportedResults()
    reported.read(Journal.read(store, whole=True))
    assert rows(reported) == [("a", 1, 0, 1), ("b", 1, 0, 7)]


def test_a_result_takes_little_memory(store, journal):
    config = {f"parameter {n}": n + 0.5 for n in range(8)}
    told = [
        ResultsReported("a", 1, (Result(n, {"loss": n + 0.1, "score": n + 0.2}, n + 0.3, n + 0.4, n + 0.5),))
        for n in range(1, 1001)
    ]
    commit(journal, [*FIRST_LIFE[:2], TrialSuggested("a", config), TrialLaunched("a", 1, None)])
    for begin in range(0, len(told), 10):
        commit(journal, told[begin : begin + 10])
    ReportedResults().frame()  # imports pandas
    reported, view = ReportedResults(), Journal.read(store, whole=True)
    gc.collect()
    tracemalloc.start()
    try:
        reported.read(view)
        assert len(reported.frame()) == len(told)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes / len(told) < 1000
