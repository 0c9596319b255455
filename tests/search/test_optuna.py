import json
import logging
import math
import sys
from statistics import mean
from typing import Any

import pytest

from tests.search.drive import ended, ready, scores, suggestions
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.space import (
    choice,
    grid_search,
    lograndint,
    loguniform,
    qlograndint,
    qloguniform,
    qrandn,
    quniform,
    randint,
    randn,
    uniform,
)
from tune_flows.core.trial import Result, Trial
from tune_flows.search import OptunaSearch, RandomSearch

SPACE: dict[str, Any] = {
    "lr": loguniform(1e-5, 1e-1),
    "momentum": uniform(0, 1),
    "layers": randint(1, 9),
    "kind": choice([["relu"], None, {"name": "gelu"}, "tanh"]),
}


def quality(config: dict[str, Any]) -> float:
    distance = (
        abs(math.log10(config["lr"]) + 3) + abs(config["momentum"] - 0.7) + abs(config["layers"] - 6) / 4
    )
    return -distance - (config["kind"] != {"name": "gelu"})


def resumed(search_alg: OptunaSearch) -> OptunaSearch:
    fresh = search_alg.fresh()
    fresh.load_state(json.loads(json.dumps(search_alg.dump_state())))
    return fresh


def test_tpe_finds_better_configurations_than_random_search() -> None:
    def best(make: Any) -> float:
        return mean(max(scores(ready(make(seed=seed), SPACE), 40, quality)) for seed in range(6))

    assert best(OptunaSearch) > best(RandomSearch) + 0.3


def test_min_mode_searches_the_other_way() -> None:
    search_alg = ready(OptunaSearch(seed=1), {"x": uniform(0, 1)}, mode="min")
    assert mean(scores(search_alg, 40, lambda config: config["x"])[-10:]) < 0.15


def test_resuming_in_the_middle_with_trials_under_way_changes_nothing() -> None:
    search_alg = ready(OptunaSearch(seed=3, n_startup_trials=4, points_to_evaluate=[{"lr": 0.01}]), SPACE)
    scores(search_alg, 12, quality)
    under_way = {f"trial-{number}": search_alg.suggest(f"trial-{number}") for number in range(12, 16)}
    again = resumed(search_alg)
    for number, (name, config) in enumerate(under_way.items()):
        outcome = [quality(config), math.nan, None, 1.0][number]
        for one in (search_alg, again):
            one.on_trial_complete(ended(name, config, outcome))
    assert scores(again, 8, quality, first=16) == scores(search_alg, 8, quality, first=16)
    assert again.dump_state() == search_alg.dump_state()


def test_loading_a_state_forgets_the_study_from_before() -> None:
    search_alg = ready(OptunaSearch(seed=3, n_startup_trials=4), SPACE)
    scores(search_alg, 6, quality)
    state = search_alg.dump_state()
    expected = scores(resumed(search_alg), 4, quality, first=6)
    scores(search_alg, 5, lambda config: -quality(config), first=6)
    search_alg.load_state(state)
    assert scores(search_alg, 4, quality, first=6) == expected


def test_points_come_first_and_only_their_rest_is_sampled() -> None:
    points = [
        {"kind": {"name": "gelu"}, "layers": 2},
        {"lr": 0.0125, "momentum": 0.5, "layers": 1, "kind": None},
    ]
    first, second, *_ = suggestions(ready(OptunaSearch(points_to_evaluate=points), SPACE), 3)
    assert first | points[0] == first
    assert second == points[1]


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (randn(3, 2), 4.25),
        (qrandn(3, 2, 0.5), 4.5),
        (quniform(-1, 1, 0.1), 0.3),
        (qloguniform(0.005, 1, 0.01), 0.07),
        (qlograndint(8, 512, 8), 24),
        (lograndint(1, 1000), 17),
        (choice([1, True, "a", "a"]), True),
    ],
)
def test_points_and_suggestions_of_every_kind_of_domain(domain: Any, value: object) -> None:
    search_alg = ready(OptunaSearch(n_startup_trials=3, points_to_evaluate=[{"x": value}]), {"x": domain})
    found: list[object] = []

    def score(config: dict[str, Any]) -> float:
        found.append(config["x"])
        return float(config["x"] == value)

    scores(search_alg, 12, score)
    assert found[0] == value
    assert type(found[0]) is type(value)
    assert all(domain.contains(x) for x in found)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "text", True])
def test_bad_scores_are_avoided(bad: object) -> None:
    search_alg = ready(OptunaSearch(seed=2), {"x": uniform(0, 1)})
    found: list[float] = []

    def score(config: dict[str, Any]) -> object:
        found.append(config["x"])
        return bad if config["x"] > 0.5 else -abs(config["x"] - 0.25)

    scores(search_alg, 60, score)
    assert mean(x > 0.5 for x in found[30:]) < 0.2
    assert mean(abs(x - 0.25) < 0.1 for x in found[30:]) > 0.5


def test_a_trial_counts_with_its_newest_score() -> None:
    search_alg = ready(OptunaSearch(), {"x": uniform(0, 1)})
    search_alg.suggest("a")
    search_alg.on_trial_result(Trial("a", {}), Result(1, {"score": 0.25}, 1.0, 1.0, 0.0))
    search_alg.on_trial_complete(ended("a", {}, None))
    assert search_alg.dump_state()["_suggestions"]["a"]["score"] == 0.25
    assert search_alg.dump_state()["_suggestions"]["a"]["ended"] == "COMPLETE"


def test_failed_trials_and_strangers_teach_nothing() -> None:
    search_alg = ready(OptunaSearch(), {"x": uniform(0, 1)})
    search_alg.suggest("a")
    search_alg.on_trial_error(Trial("a", {}))
    search_alg.on_trial_complete(ended("stranger", {}, 1.0))
    search_alg.on_trial_error(Trial("stranger", {}))
    assert search_alg.dump_state()["_suggestions"].keys() == {"a"}
    assert search_alg.dump_state()["_suggestions"]["a"]["ended"] == "FAIL"


def test_a_trial_that_comes_back_counts_with_what_it_reports_then() -> None:
    search_alg = ready(OptunaSearch(n_startup_trials=1), {"x": uniform(0, 1)})
    search_alg.suggest("failed")
    search_alg.on_trial_error(Trial("failed", {}))
    search_alg.suggest("longer")
    search_alg.on_trial_complete(ended("longer", {}, 0.5))
    for trial_id in ("failed", "longer"):
        search_alg.on_trial_complete(ended(trial_id, {}, 1.0))
    found = search_alg.dump_state()["_suggestions"].values()
    assert [(suggestion["ended"], suggestion["score"]) for suggestion in found] == [("COMPLETE", 1.0)] * 2

    again = search_alg.fresh()
    again.load_state(search_alg.dump_state())
    assert again.suggest("next") == search_alg.suggest("next")


def test_many_trials_that_come_back_cost_one_study(monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    search_alg = ready(OptunaSearch(seed=1, n_startup_trials=2), {"x": uniform(0, 1)})
    configs = {f"trial-{number}": search_alg.suggest(f"trial-{number}") for number in range(20)}
    for name, config in configs.items():
        search_alg.on_trial_error(ended(name, config, None))
    made: list[object] = []
    create_study = optuna.create_study
    monkeypatch.setattr(optuna, "create_study", lambda **o: made.append(o) or create_study(**o))
    for name, config in configs.items():
        again = ended(name, config, config["x"])
        search_alg.on_trial_result(again, again.last_result)
        search_alg.on_trial_complete(again)
    assert resumed(search_alg).suggest("next") == search_alg.suggest("next")
    assert len(made) == 2


def test_a_grid_in_the_space_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"grid_search for b.*RandomSearch or GridSearch"):
        ready(OptunaSearch(), {"a": uniform(0, 1), "b": grid_search([1, 2])})


def test_a_missing_library_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InvalidParameter, match=r"pip install 'tune_flows\[optuna\]'"):
        ready(OptunaSearch(), {"a": uniform(0, 1)})


def test_it_is_quiet_and_leaves_optuna_s_logging_alone(capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    before = optuna.logging.get_verbosity()
    scores(ready(OptunaSearch(n_startup_trials=2), SPACE), 5, quality)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before == logging.INFO
