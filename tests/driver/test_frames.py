"""The rows of an experiment whose trials got several lives."""

import pytest

from tune_flows.core.codec import record_to_json
from tune_flows.core.decisions import ExperimentEnded, TrialLaunched, TrialSuggested
from tune_flows.core.events import (
    DriverStarted,
    ExperimentExtended,
    ResultsReported,
    TrialCompleted,
    TrialsReopened,
)
from tune_flows.core.trial import Result
from tune_flows.frames import ReportedResults, trials_frame
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
