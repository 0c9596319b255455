"""What the field expects of a tuner, as one list: whole experiments in virtual time, on a real journal.

Held with real workers, and not here: a worker whose trial failed is never used again
(tests/integration/test_faults.py), every fault there is (the tables there), lost nodes (test_nodes.py).
"""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import PrivateAttr

from tests.experiment.simulated_experiment import Curve, SimulatedExperiment
from tests.runner.builders import name, pause, paused, reported
from tests.runner.runner_harness import RunnerHarness, scripted
from tune_flows.core.decisions import PAUSE, STOP, ExperimentEnded, TrialDecided, TrialLaunched
from tune_flows.core.errors import AllTrialsFailed, InfrastructureError, TrainableError, TrialFailed
from tune_flows.core.events import DriverStarted, ResultsReported, TrialCompleted, TrialFaulted
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.trial import TrialStatus
from tune_flows.results.tune_result import require_success, tune_result
from tune_flows.schedulers import TrialScheduler
from tune_flows.search import FINISHED, SearchAlg
from tune_flows.store import CheckpointStore, ObjectStore

TERMINATED, ERRORED = TrialStatus.TERMINATED, TrialStatus.ERRORED
BAD = "trial-00001"


@pytest.fixture
def shop(tmp_path: Path) -> SimulatedExperiment:
    return SimulatedExperiment(f"{tmp_path}/experiment", checkpoint_frequency=1)


def always(error):
    """A fault of one trial at its third iteration, in every attempt."""
    return lambda trial_id, lease, iteration: error if trial_id == BAD and iteration == 3 else None


def statuses(state):
    return [trial.status for trial in state.trials.values()]


@pytest.mark.parametrize("budget", [0, 1, 3])
@pytest.mark.parametrize(
    ("error", "rule"),
    [(TrainableError("boom"), "max_failures"), (InfrastructureError("lost"), "max_infra_failures")],
)
def test_a_trial_that_always_fails_has_as_many_attempts_as_its_budget_and_one(shop, error, rule, budget):
    none = {"max_failures": 0, "max_infra_failures": 0}
    shop.fault, shop.rules = always(error), Rules(**(none | {rule: budget}))
    state = shop.run()
    launched = [record.trial_id for record in shop.records(TrialLaunched)]
    assert launched.count(BAD) == budget + 1
    assert len(shop.records(TrialFaulted)) == budget + 1
    assert statuses(state) == [TERMINATED, ERRORED, *[TERMINATED] * 4]
    assert [trial.iteration for trial in state.trials.values()] == [9, 2, 9, 9, 9, 9]


def test_fail_fast_gives_one_errored_trial_and_the_others_are_terminated(shop):
    shop.slots, shop.fault, shop.rules = 3, always(TrainableError("boom")), Rules(fail_fast=True)
    state = shop.run()
    assert state.ended == f"fail_fast: {BAD} failed"
    assert statuses(state) == [TERMINATED, ERRORED, TERMINATED]
    assert {trial.reason for trial in state.trials.values()} == {"error", state.ended}


@pytest.mark.parametrize("checkpoint_at_end", [False, True])
def test_fail_fast_that_raises_waits_for_nobodys_step(shop, checkpoint_at_end):
    shop.slots, shop.fault = 3, always(TrainableError("boom"))
    shop.step_time = lambda config, iteration: 1.0 if iteration <= 3 else 3600.0
    shop.rules = Rules(fail_fast="raise", checkpoint_at_end=checkpoint_at_end)
    state = shop.run()
    assert state.ended == f"fail_fast: {BAD} failed"
    assert statuses(state) == [TERMINATED, ERRORED, TERMINATED]
    assert state.elapsed_s == 3.0
    assert shop.run() == state
    assert [isinstance(record, ExperimentEnded) for record in shop.records()[-2:]] == [False, True]
    ends = [(record.trial_id, record.lease) for record in shop.records(TrialCompleted)]
    assert ends == [("trial-00000", 1), ("trial-00002", 1)]


def test_the_own_exception_is_that_of_a_trial_that_failed(shop):
    shop.fault, shop.rules = always(TrainableError("boom")), Rules(fail_fast="raise")
    result = tune_result(shop.url, shop.run(), Objective("score"))
    own = ValueError("boom")
    with pytest.raises(ValueError, match="boom"):
        require_success(result, "raise", {"trial-00000": KeyError("tried again"), BAD: own})
    for fail_fast, errors in ((True, {BAD: own}), ("raise", {"trial-00000": own})):
        with pytest.raises(TrialFailed, match=f"{BAD}: boom"):
            require_success(result, fail_fast, errors)


class Invalid(Curve):
    """Cannot be set up with a small x; with none at all where `limit` is 1."""

    limit: ClassVar[float] = 0.5

    def setup(self, config):
        if config["x"] < self.limit:
            raise ValueError("x is too small")
        super().setup(config)


def test_an_invalid_trainable_errors_only_its_own_trials(shop):
    shop.trainable = Invalid
    state = shop.run()
    invalid = [trial.config["x"] < Invalid.limit for trial in state.trials.values()]
    assert {True, False} == set(invalid)
    assert statuses(state) == [ERRORED if bad else TERMINATED for bad in invalid]
    require_success(tune_result(shop.url, state, Objective("score")), fail_fast=False)


def test_a_trainable_that_is_never_valid_fails_the_run(shop, monkeypatch):
    monkeypatch.setattr(Invalid, "limit", 1.0)
    shop.trainable = Invalid
    state = shop.run()
    assert set(statuses(state)) == {ERRORED}
    with pytest.raises(AllTrialsFailed, match="x is too small"):
        require_success(tune_result(shop.url, state, Objective("score")), fail_fast=False)


class OneAtATime(SearchAlg):
    """Has nothing to suggest while a trial of its own is under way."""

    total: int = 4

    _suggested: int = PrivateAttr(default=0)
    _is_free: bool = PrivateAttr(default=True)

    def setup(self, *, space, objective, seed):
        pass

    def suggest(self, trial_id):
        if self._suggested == self.total:
            return FINISHED
        if not self._is_free:
            return None
        self._suggested, self._is_free = self._suggested + 1, False
        return {"x": self._suggested / 10}

    def on_trial_complete(self, trial):
        self._is_free = True

    def on_trial_error(self, trial):
        self._is_free = True


@pytest.mark.parametrize("fault", [None, always(TrainableError("boom"))])
def test_a_searcher_that_has_nothing_to_suggest_right_now_is_not_finished(shop, fault):
    shop.search_alg, shop.slots, shop.num_samples, shop.fault = OneAtATime(), 3, 10, fault
    state = shop.run()
    assert state.ended == "search exhausted"
    assert statuses(state) == [TERMINATED, ERRORED if fault else TERMINATED, TERMINATED, TERMINATED]


def test_a_decision_for_a_trial_that_was_paused_meanwhile_is_dropped():
    """Its worker waited for the decision, and was free before that could reach it."""
    others = {"result 1 1": {name(0): PAUSE}}
    desk = RunnerHarness(scripted(others=others, resumes=[]), slots=2, target=2)
    assert desk.commands(reported(1, 1, waits=False)) == [pause(0)]
    assert desk.commands(reported(0, 1), paused(0)) == []
    assert desk.trial(0).status is TrialStatus.PAUSED
    assert desk.commands(reported(0, 1), reported(0, 2)) == [], "of a lease that is over"
    assert desk.trial(0).iteration == 1
    assert desk.search._heard == ["result 1 1", "result 0 1"]
    desk.replayed()


def test_a_stop_for_a_trial_that_was_paused_meanwhile_needs_no_worker():
    desk = RunnerHarness(scripted(others={"result 1 1": {name(0): STOP}}, says={(0, 1): PAUSE}, resumes=[]))
    desk.step(reported(0, 1))
    desk.step(paused(0))
    assert desk.commands(reported(1, 1, waits=False)) == []
    assert desk.trial(0).status is TERMINATED
    desk.replayed()


@pytest.mark.parametrize("scheduler", [None, {"type": "pbt", "perturbation_interval": 2, "seed": 2}])
@pytest.mark.parametrize("keep", [1, 2])
def test_num_to_keep_holds_across_resumes(shop, scheduler, keep):
    shop.rules, shop.scheduler, shop.num_samples = Rules(num_to_keep=keep), scheduler, 4
    shop.checkpoints = CheckpointStore(shop.url)
    while (state := shop.run_and_die(9, durable=True)) is None:
        assert len(shop.records(DriverStarted)) < 50, "it does not get on"
    assert len(shop.records(DriverStarted)) > 3
    assert bool(shop.records(TrialDecided)) == (scheduler is not None)
    held = {checkpoint.path for trial in state.trials.values() for checkpoint in trial.checkpoints}
    assert {len(trial.checkpoints) for trial in state.trials.values()} == {keep}
    assert {"/".join(Path(key).parts[:3]) for key in ObjectStore(shop.url).list("ckpt")} == held


HEARD: list[str] = []


class HearingSearch(SearchAlg):
    """Notes what it is told of the end of trials."""

    def setup(self, *, space, objective, seed):
        pass

    def suggest(self, trial_id):
        return {"x": 0.5}

    def on_trial_complete(self, trial):
        HEARD.append(f"search: {trial.trial_id} complete")

    def on_trial_error(self, trial):
        HEARD.append(f"search: {trial.trial_id} error")


class HearingScheduler(TrialScheduler):
    """Notes what it is told of the end of trials."""

    def on_trial_complete(self, trial):
        HEARD.append(f"scheduler: {trial.trial_id} complete")

    def on_trial_error(self, trial, *, final):
        HEARD.append(f"scheduler: {trial.trial_id} {'final error' if final else 'error'}")


def test_the_scheduler_hears_of_every_error_and_the_search_algorithm_of_the_final_one(shop):
    HEARD.clear()
    shop.search_alg, shop.scheduler, shop.num_samples = HearingSearch(), HearingScheduler(), 2
    shop.fault, shop.rules = always(TrainableError("boom")), Rules(max_failures=2)
    shop.run()
    assert [line for line in HEARD if BAD in line] == [
        f"scheduler: {BAD} error",
        f"scheduler: {BAD} error",
        f"scheduler: {BAD} final error",
        f"search: {BAD} error",
    ]
    assert sorted(line for line in HEARD if BAD not in line) == [
        "scheduler: trial-00000 complete",
        "search: trial-00000 complete",
    ]


def test_no_result_is_told_twice_whatever_is_tried_again(shop):
    shop.fault = lambda trial_id, lease, iteration: (
        InfrastructureError("lost") if iteration == 2 + lease else None
    )
    shop.checkpoint_frequency, shop.rules = 4, Rules(max_infra_failures=-1)
    state = shop.run()
    assert all(trial.infra_failures for trial in state.trials.values())
    told = [(e.trial_id, r.iteration) for e in shop.records(ResultsReported) for r in e.results]
    assert sorted(told) == [(trial_id, i) for trial_id in state.trials for i in range(1, 10)]
