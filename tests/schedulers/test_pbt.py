import math
from collections import Counter

import numpy as np
import pytest

from tests.schedulers.drive import ready, report, result, trial
from tune_flows.core.decisions import CONTINUE, YIELD, TrialDecided, TrialLaunched, TrialSuggested
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.events import CheckpointSaved, ResultsReported
from tune_flows.core.space import (
    ParamSpace,
    choice,
    grid_search,
    lograndint,
    loguniform,
    qrandn,
    quniform,
    randint,
    randn,
    sample_from,
    uniform,
)
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, CheckpointRef, Trial
from tune_flows.schedulers import PopulationBasedTraining, parse_scheduler
from tune_flows.schedulers.explore import explored
from tune_flows.testing.spaces import every_domain

SPACE = ParamSpace.parse({"lr": loguniform(1e-4, 1.0), "model": {"n": randint(1, 9)}, "data": "digits"})


def config(lr: float) -> dict[str, object]:
    return {"lr": lr, "model": {"n": 4}, "data": "digits"}


def population(scores: dict[str, object], **fields: object) -> PopulationBasedTraining:
    scheduler = ready(PopulationBasedTraining(**{"perturbation_interval": 5, **fields}), *scores, space=SPACE)
    for number, (name, score) in enumerate(scores.items()):
        report(scheduler, name, 5, score, config(0.01 * (number + 1)))
    return scheduler


EIGHT = {name: float(score) for score, name in enumerate("abcdefgh")}


def test_it_compares_at_the_end_of_each_interval_only() -> None:
    scheduler = ready(PopulationBasedTraining(perturbation_interval=5), "a", space=SPACE)
    assert scheduler.next_decision(trial("a")) == 5
    assert report(scheduler, "a", 4, 1.0) == CONTINUE
    assert report(scheduler, "a", 5, 1.0) == YIELD
    assert scheduler.next_decision(trial("a", 5)) == 10


def test_nothing_is_compared_before_the_burn_in_is_over() -> None:
    scheduler = ready(PopulationBasedTraining(perturbation_interval=5, burn_in_period=12), "a", space=SPACE)
    assert scheduler.next_decision(trial("a")) == 12
    assert report(scheduler, "a", 12, 1.0) == YIELD
    assert scheduler.next_decision(trial("a", 12)) == 17


def test_the_lower_quantile_copies_from_the_upper_one_only() -> None:
    sources: Counter[str | None] = Counter()
    for seed in range(40):
        for name, score in EIGHT.items():
            decision = report(population(EIGHT, seed=seed), name, 10, score, config(0.5))
            assert decision.action is Action.YIELD
            assert (decision.source is not None) == (name in "ab")
            sources[decision.source] += 1
    assert set(sources) == {None, "g", "h"}
    assert sources["g"] == pytest.approx(40, abs=15)


def test_the_copy_has_the_source_s_configuration_changed_inside_the_domains() -> None:
    seen: set[float] = set()
    for seed in range(60):
        decision = report(population(EIGHT, seed=seed, resample_probability=0), "a", 10, 0.0, config(0.5))
        assert decision.config is not None
        source_lr = {"g": 0.07, "h": 0.08}[str(decision.source)]
        seen.add(round(decision.config["lr"] / source_lr, 9))
        assert decision.config["model"]["n"] in (3, 5)
        assert decision.config["data"] == "digits"
    assert seen == {1.2, 0.8}


def test_nobody_copies_while_the_population_is_one_or_all_are_equal() -> None:
    assert report(population({"a": 1.0}), "a", 10, 1.0, config(0.1)) == YIELD
    equal = dict.fromkeys("abcdefgh", 1.0)
    assert {report(population(equal), name, 10, 1.0, config(0.1)) for name in equal} == {YIELD}


@pytest.mark.parametrize("bad", [math.nan, math.inf, "text"])
def test_a_bad_score_copies_and_is_never_copied(bad: object) -> None:
    scheduler = population({"a": bad, "b": bad, "c": 1.0})
    assert report(scheduler, "a", 10, bad, config(0.1)).source == "c"
    assert report(scheduler, "b", 10, bad, config(0.1)).source == "c"
    nobody = population({"a": bad, "b": bad})
    assert report(nobody, "a", 10, bad, config(0.1)) == YIELD


def test_a_missing_metric_leaves_the_trial_as_it_is() -> None:
    scheduler = population(EIGHT)
    assert report(scheduler, "a", 10, None, config(0.1)) == YIELD
    assert scheduler.next_decision(trial("a", 10)) == 15


def test_trials_that_have_ended_are_no_longer_copied() -> None:
    scheduler = population({"a": 0.0, "b": 1.0, "c": 2.0})
    scheduler.on_trial_complete(trial("c", 5))
    assert report(scheduler, "a", 10, 0.0, config(0.1)).source == "b"
    scheduler.on_trial_error(trial("b", 5), final=True)
    assert report(scheduler, "a", 15, 0.0, config(0.1)) == YIELD


def test_the_trial_furthest_behind_runs_next() -> None:
    scheduler = ready(PopulationBasedTraining(), space=SPACE)
    assert scheduler.choose_trial_to_run([Trial("a", {}, iteration=5), Trial("b", {}), Trial("c", {})]) == "b"


def test_the_copy_s_own_checkpoint_of_that_moment_does_not_replace_the_source_s() -> None:
    state = ExperimentState()
    for name in "ab":
        state.apply(TrialSuggested(name, {}))
        state.apply(TrialLaunched(name, 1, 5))
        state.apply(ResultsReported(name, 1, (result(5, 1.0),), waits=True))
    state.apply(CheckpointSaved("b", 1, CheckpointRef("of b", 5, "", 0)))
    state.apply(TrialDecided("a", 5, Action.PAUSE, source="b", config={}))
    state.apply(CheckpointSaved("a", 1, CheckpointRef("of a", 5, "", 0)))
    assert [checkpoint.path for checkpoint in state.trials["a"].checkpoints] == ["of b"]


def explore(space: ParamSpace, seed: int, resample: float = 0.0, factors: tuple[float, ...] = (1.2, 0.8)):
    rng = np.random.default_rng(seed)
    start = space.sample(rng)
    return start, explored(
        start, domains=space.domains, rng=rng, resample_probability=resample, factors=factors
    )


def test_every_changed_value_stays_in_its_domain() -> None:
    for seed in range(200):
        start, changed = explore(every_domain(), seed, resample=0.25, factors=(3.0, 0.1))
        assert every_domain().flatten(changed).keys() == every_domain().flatten(start).keys()
        assert changed["epochs"] == 3


def test_changed_values_are_clipped_rounded_and_never_stuck() -> None:
    space = ParamSpace.parse(
        {
            "u": uniform(0.9, 1.0),
            "n": randint(1, 4),
            "log": lograndint(1, 4),
            "q": quniform(0, 1, 0.25),
            "qr": qrandn(10, 0.001, 2),
            "r": randn(100, 1),
            "c": choice([1, [2], None]),
        }
    )
    start = {"u": 0.95, "n": 1, "log": 3, "q": 0.25, "qr": 10.0, "r": 100.0, "c": [2]}
    rng = np.random.default_rng(0)
    up = explored(start, domains=space.domains, rng=rng, resample_probability=0, factors=[1.2])
    down = explored(start, domains=space.domains, rng=rng, resample_probability=0, factors=[0.8])
    up_c, down_c = up.pop("c"), down.pop("c")
    assert up == {"u": 1.0, "n": 2, "log": 3, "q": 0.5, "qr": 12.0, "r": 120.0}
    assert down == {"u": 0.9, "n": 1, "log": 2, "q": 0.0, "qr": 8.0, "r": 80.0}
    assert {type(up["n"]), type(up["log"])} == {int}
    assert up_c in (1, None)
    assert down_c in (1, None)
    assert start["c"] == [2]


def test_a_choice_moves_to_a_neighbour_and_stays_at_the_end() -> None:
    domains = {"c": choice(["a", "b", "c", "d"])}
    moves = {
        (value, explored({"c": value}, domains=domains, rng=rng, resample_probability=0, factors=[1.2])["c"])
        for rng in [np.random.default_rng(0)]
        for _ in range(40)
        for value in "abd"
    }
    assert moves == {("a", "a"), ("a", "b"), ("b", "a"), ("b", "c"), ("d", "c"), ("d", "d")}


def test_mutations_are_given_by_path_nested_or_as_lists() -> None:
    by_path = PopulationBasedTraining(
        hyperparam_mutations={"model/n": randint(1, 4), "data": ["digits", "iris"]}
    )
    nested = PopulationBasedTraining(
        hyperparam_mutations={
            "model": {"n": {"type": "randint", "lower": 1, "upper": 4}},
            "data": choice(["digits", "iris"]),
        }
    )
    assert by_path == nested == parse_scheduler(by_path.to_config())
    assert PopulationBasedTraining(hyperparam_mutations=None) == PopulationBasedTraining()


def test_only_what_has_a_mutation_changes() -> None:
    scheduler = population(EIGHT, hyperparam_mutations={"model/n": [1, 2, 3, 4]}, resample_probability=0)
    decision = report(scheduler, "a", 10, 0.0, config(0.5))
    assert decision.config is not None
    assert decision.config["lr"] in (0.07, 0.08)
    assert decision.config["model"]["n"] in (3, 4)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hyperparam_mutations": {"lr": lambda: 1}}, "A function has no JSON form"),
        ({"hyperparam_mutations": {"lr": sample_from(lambda: 1)}}, "A function has no JSON form"),
        ({"hyperparam_mutations": {"lr": grid_search([1])}}, "lr"),
        ({"hyperparam_mutations": {"lr": 3}}, "lr"),
        ({"hyperparam_mutations": [1]}, "hyperparam_mutations"),
        ({"quantile_fraction": 0.6}, "quantile_fraction"),
        ({"perturbation_factors": []}, "perturbation_factors"),
        ({"perturbation_factors": [0.0]}, "perturbation_factors"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^PopulationBasedTraining.*{named}"):
        PopulationBasedTraining(**fields)


@pytest.mark.parametrize(
    ("space", "mutations", "message"),
    [
        ({"lr": uniform(0, 1)}, {"lrr": uniform(0, 1)}, "Did you mean 'lr'"),
        ({"lr": 1}, {}, "hyperparam_mutations: got {}"),
    ],
)
def test_mutations_that_do_not_fit_the_space_are_refused(space, mutations, message: str) -> None:
    scheduler = PopulationBasedTraining(hyperparam_mutations=mutations)
    with pytest.raises(InvalidParameter, match=message):
        ready(scheduler, space=ParamSpace.parse(space))
