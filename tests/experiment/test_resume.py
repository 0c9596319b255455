"""An experiment that had ended goes on: more iterations, more time, another try; and `resume`."""

from collections import Counter

import pytest

from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.core.decisions import TrialLaunched, TrialSuggested
from tune_flows.core.errors import ExperimentExists, ExperimentNotFound, TrainableError
from tune_flows.core.events import DriverStarted, ResultsReported, RulesChanged, TrialsReopened
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Result, TrialStatus
from tune_flows.experiment.experiment import fold
from tune_flows.experiment.resume import SessionRequest

TERMINATED, ERRORED = TrialStatus.TERMINATED, TrialStatus.ERRORED


@pytest.fixture
def shop(tmp_path):
    return SimulatedExperiment(f"{tmp_path}/experiment")


def iterations(shop):
    told = [(e.trial_id, r.iteration) for e in shop.records(ResultsReported) for r in e.results]
    assert max(Counter(told).values()) == 1, "a result was told twice"
    return {trial_id: [i for t, i in told if t == trial_id] for trial_id, _ in told}


def reopened(shop):
    return [(list(event.trial_ids), event.restart) for event in shop.records(TrialsReopened)]


def errored(state):
    return [trial.trial_id for trial in state.trials.values() if trial.status is ERRORED]


def metrics(state):
    return {trial.trial_id: (trial.status, trial.iteration, trial.metrics) for trial in state.trials.values()}


def fails_at_first(trial_id, lease, iteration):
    bad = trial_id in ("trial-00001", "trial-00003") and lease == 1 and iteration == 5
    return TrainableError("boom") if bad else None


def test_more_iterations(shop):
    first = shop.run()
    shop.stop = {"training_iteration": 12}
    state = shop.run()
    assert reopened(shop) == [(list(first.trials), False)]
    assert iterations(shop) == {trial_id: list(range(1, 13)) for trial_id in first.trials}
    assert metrics(state) == metrics(
        SimulatedExperiment(f"{shop.url}-whole", stop={"training_iteration": 12}).run()
    )
    assert fold(shop.journal()) == state
    assert shop.run() == state


def test_more_iterations_for_a_trial_whose_driver_died_before_it_heard_of_its_end():
    rules, further = (Rules(stop={"training_iteration": n}) for n in (3, 5))
    state = ExperimentState(rules=rules, target=1)
    for record in (
        DriverStarted(1, at=1.0),
        TrialSuggested("t", {}),
        TrialLaunched("t", 1, None),
        ResultsReported("t", 1, (Result(3, {}, 1.0, 3.0, 3.0, done=True),)),
    ):
        state.apply(record)
    first = SessionRequest(further, 1, Objective(None)).events(state)
    assert first == [RulesChanged(further), TrialsReopened(("t",))]
    for event in (DriverStarted(2, at=9.0), *first):
        state.apply(event)
    assert (state.trials["t"].status, state.trials["t"].pending) == (TrialStatus.PENDING, None)


def test_a_nearer_stop_reopens_nothing(shop):
    first = shop.run()
    shop.stop = {"training_iteration": 5}
    assert shop.run() == first


def test_more_iterations_leave_alone_what_the_scheduler_stopped(shop):
    shop.scheduler = {"type": "asha", "max_t": 27, "reduction_factor": 3, "grace_period": 3}
    first = shop.run()
    went_on = [trial.trial_id for trial in first.trials.values() if trial.last_result.done]
    assert 0 < len(went_on) < len(first.trials)
    shop.stop = {"training_iteration": 15}
    state = shop.run()
    assert reopened(shop) == [(went_on, False)]
    for trial in state.trials.values():
        assert trial.iteration == (
            15 if trial.trial_id in went_on else first.trials[trial.trial_id].iteration
        )
    assert fold(shop.journal()) == state


def test_a_criterion_of_a_metric_that_is_further_away(shop):
    shop.stop = {"score": 2.0}
    assert all(trial.metrics["score"] >= 2 for trial in shop.run().trials.values())
    shop.stop = {"score": 3.0}
    assert all(trial.metrics["score"] >= 3 for trial in shop.run().trials.values())


def test_more_time(shop):
    shop.rules = Rules(time_budget_s=12.0)
    first = shop.run()
    assert first.ended == "time budget of 12 s spent"
    cut = [trial.trial_id for trial in first.trials.values() if trial.reason == first.ended]
    assert cut
    entries = shop.entries()
    shop.num_samples = 8
    assert shop.run() == first, "there is no time for more samples"
    assert shop.entries() == entries

    shop.rules = Rules(time_budget_s=1000.0)
    state = shop.run()
    assert state.ended == "all trials done"
    assert reopened(shop) == [(cut, False)]
    assert metrics(state) == metrics(SimulatedExperiment(f"{shop.url}-whole", num_samples=8).run())
    assert iterations(shop) == {trial_id: list(range(1, 10)) for trial_id in state.trials}


def test_more_time_leaves_alone_what_the_scheduler_had_stopped(shop):
    shop.scheduler = {"type": "asha", "max_t": 27, "reduction_factor": 3, "grace_period": 3}
    shop.rules, shop.num_samples = Rules(time_budget_s=18.0), 12
    first = shop.run()
    reasons = {trial.trial_id: trial.reason for trial in first.trials.values()}
    cut = [trial_id for trial_id, reason in reasons.items() if reason == first.ended]
    stopped = [trial_id for trial_id, reason in reasons.items() if "stopped by" in reason]
    assert cut
    assert stopped
    shop.rules = Rules()
    state = shop.run()
    assert reopened(shop) == [(cut, False)]
    assert all(state.trials[i].iteration == first.trials[i].iteration for i in stopped)


def crashed_in_its_last_writes(url, **options):
    """The experiment, left at each of its writes from the one that decided its end on."""
    whole = SimulatedExperiment(f"{url}-entries", **options)
    whole.run()
    decided = next(
        number
        for number, entry in enumerate(whole.journal().entries())
        if any(record["type"] == "StopDecided" for record in entry.records)
    )
    for writes in range(decided, whole.entries() + 1):
        left = SimulatedExperiment(f"{url}-{writes}", **options)
        left.run_and_die(writes, durable=True)
        yield left


@pytest.mark.parametrize("at_end", [False, True])
def test_more_time_after_a_crash_at_the_end_of_the_first(shop, at_end):
    for left in crashed_in_its_last_writes(
        shop.url, rules=Rules(time_budget_s=12.0, checkpoint_at_end=at_end)
    ):
        left.rules = Rules(checkpoint_at_end=at_end)
        state = left.run()
        assert {trial.iteration for trial in state.trials.values()} == {9}, left.url
        assert iterations(left) == {trial_id: list(range(1, 10)) for trial_id in state.trials}
        assert fold(left.journal()) == state


def test_the_others_go_on_after_a_crash_in_a_fast_failure(shop):
    for left in crashed_in_its_last_writes(shop.url, rules=Rules(fail_fast=True), fault=fails_at_first):
        left.fault, left.rules, left.resume = None, Rules(), "errored"
        assert {trial.iteration for trial in left.run().trials.values()} == {9}, left.url


@pytest.mark.parametrize("budget_s", [7.33, 10.29, 10.66, 12.51, 18.06])
def test_a_trial_that_ended_itself_when_time_was_up_has_ended(shop, budget_s):
    shop.checkpoint_frequency = 1
    shop.rules = Rules(time_budget_s=budget_s, checkpoint_at_end=True)
    shop.run()
    shop.rules = Rules(checkpoint_at_end=True)
    assert {trial.iteration for trial in shop.run().trials.values()} == {9}


def test_a_stop_that_is_further_away_is_not_forgotten_while_there_is_no_time(shop):
    for left in crashed_in_its_last_writes(shop.url, rules=Rules(time_budget_s=12.0)):
        left.stop = {"training_iteration": 12}
        left.run()
        left.rules = Rules()
        assert {trial.iteration for trial in left.run().trials.values()} == {12}, left.url


def test_more_samples_do_not_heal_a_fast_failure(shop):
    shop.fault, shop.rules = fails_at_first, Rules(fail_fast=True)
    first = shop.run()
    shop.num_samples = 8
    assert shop.run() == first
    shop.resume, shop.fault = "errored", None
    state = shop.run()
    assert metrics(state) == metrics(SimulatedExperiment(f"{shop.url}-whole", num_samples=8).run())


def test_a_budget_that_is_taken_away(shop):
    shop.rules = Rules(time_budget_s=12.0)
    shop.run()
    shop.rules = Rules()
    assert shop.run().ended == "all trials done"


@pytest.mark.parametrize("resume", ["errored", "restart_errored"])
def test_failed_trials_run_again(shop, resume):
    shop.fault = fails_at_first
    first = shop.run()
    assert [t.trial_id for t in first.trials.values() if t.status is ERRORED] == [
        "trial-00001",
        "trial-00003",
    ]
    assert shop.run() == first
    assert shop.objects().list("errors") == ["errors/trial-00001.txt", "errors/trial-00003.txt"]
    shop.resume = resume
    restart = resume == "restart_errored"
    state = shop.run()
    assert state.ended == "all trials done"
    assert {trial.status for trial in state.trials.values()} == {TERMINATED}
    assert {trial.error for trial in state.trials.values()} == {None}
    assert shop.objects().list("errors") == []
    assert reopened(shop) == [(["trial-00001", "trial-00003"], restart)]
    assert metrics(state) == metrics(SimulatedExperiment(f"{shop.url}-whole").run())
    assert fold(shop.journal()) == state
    shop.resume = "auto"
    assert shop.run() == state
    if not restart:
        assert iterations(shop) == {trial_id: list(range(1, 10)) for trial_id in state.trials}


def test_a_failed_trial_has_a_new_budget_in_its_new_life(shop):
    shop.fault = lambda trial_id, lease, iteration: (
        TrainableError("boom") if trial_id == "trial-00000" and lease <= 3 and iteration == 5 else None
    )
    shop.rules = Rules(max_failures=1)
    assert shop.run().trials["trial-00000"].status is ERRORED
    shop.resume = "errored"
    again = shop.run().trials["trial-00000"]
    assert (again.status, again.lease, again.failures) == (TERMINATED, 4, 1)


def test_what_failed_fast_goes_on(shop):
    shop.fault, shop.rules = fails_at_first, Rules(fail_fast=True)
    first = shop.run()
    assert first.ended == "fail_fast: trial-00001 failed"
    cut = [trial.trial_id for trial in first.trials.values() if trial.reason == first.ended]
    assert cut
    assert shop.run() == first
    shop.resume = "errored"
    shop.fault = None
    state = shop.run()
    assert reopened(shop) == [(sorted([*cut, "trial-00001"]), False)]
    assert metrics(state) == metrics(SimulatedExperiment(f"{shop.url}-whole").run())


def test_without_fail_fast_the_others_go_on(shop):
    shop.fault, shop.rules = fails_at_first, Rules(fail_fast=True)
    shop.run()
    shop.fault, shop.rules = None, Rules()
    state = shop.run()
    assert errored(state) == ["trial-00001"]
    assert len(state.trials) == 6


def test_a_new_one_must_not_exist(shop):
    shop.resume = "never"
    shop.run()
    entries = shop.entries()
    with pytest.raises(ExperimentExists, match=r'resume: got "never", but there is an experiment at '):
        shop.run()
    assert shop.entries() == entries


def test_a_new_one_that_another_driver_began_meanwhile_is_not_fenced(shop):
    shop.resume = "never"
    late = shop.experiment()
    assert late.look() is None
    shop.run()
    entries = shop.entries()
    with pytest.raises(ExperimentExists):
        late.claim()
    assert shop.entries() == entries


def test_one_to_carry_on_must_exist(shop, tmp_path):
    shop.resume = "must"
    with pytest.raises(ExperimentNotFound, match=r'resume: got "must", but there is no experiment at '):
        shop.run()
    assert not list(tmp_path.rglob("*.json*"))
    shop.resume = "auto"
    assert shop.run_and_die(9, durable=True) is None
    shop.resume = "must"
    assert shop.run().ended == "all trials done"


def test_a_life_is_lived_again_after_a_crash_in_it(shop):
    shop.fault = fails_at_first
    shop.run()
    shop.resume, shop.stop = "restart_errored", {"training_iteration": 12}
    assert shop.run_and_die(12, durable=True) is None
    shop.resume = "auto"
    state = shop.run()
    assert metrics(state) == metrics(
        SimulatedExperiment(f"{shop.url}-whole", stop={"training_iteration": 12}).run()
    )
    assert fold(shop.journal()) == state


def test_void_checkpoints_are_deleted(shop):
    shop.fault = lambda trial_id, lease, iteration: TrainableError("boom") if iteration == 5 else None
    shop.scheduler = {"type": "pbt", "perturbation_interval": 2}
    first = shop.run()
    void = {c.path for t in first.trials.values() if t.status is ERRORED for c in t.checkpoints}
    assert void
    shop.fault, shop.resume = None, "restart_errored"
    state = shop.run()
    held = {c.path for t in state.trials.values() for c in t.checkpoints}
    assert held
    assert not held & void
    assert not void & shop.checkpoints._saved.keys()
