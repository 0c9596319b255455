import json

import pytest

from tests.search.drive import ready, suggestions
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.space import ParamSpace, choice, grid_search, sample_from, uniform
from tune_flows.search import RandomSearch, parse_search_alg


def test_its_own_seed_goes_before_the_experiment_s() -> None:
    space = {"x": uniform(0, 1)}
    own = suggestions(ready(RandomSearch(seed=1), space, seed=2), 5)
    assert own == suggestions(ready(RandomSearch(seed=1), space, seed=3), 5)
    assert own == suggestions(ready(RandomSearch(), space, seed=1), 5)
    assert own != suggestions(ready(RandomSearch(), space, seed=2), 5)


def test_each_sample_walks_through_the_whole_grid() -> None:
    space = {"a": grid_search([1, 2]), "b": grid_search(["x", "y", "z"]), "c": uniform(0, 1)}
    search_alg = ready(RandomSearch(), space)
    assert search_alg.variants(ParamSpace.parse(space)) == 6
    configs = suggestions(search_alg, 12)
    walk = [(a, b) for a in (1, 2) for b in "xyz"]
    assert [(config["a"], config["b"]) for config in configs] == walk * 2
    assert len({config["c"] for config in configs}) == 12


def test_points_come_first_in_part_nested_or_by_path() -> None:
    space = {
        "x": uniform(0, 1),
        "model": {"kind": choice(["a", "b"]), "x2": sample_from(lambda c: c["x"] * 2)},
    }
    points = [{"x": 0.5}, {"model": {"kind": "b"}}, {"model/kind": "a", "x": 0.25}]
    configs = suggestions(ready(RandomSearch(points_to_evaluate=points), space), 4)
    assert configs[0]["x"] == 0.5
    assert configs[0]["model"]["x2"] == 1.0
    assert configs[1]["model"]["kind"] == "b"
    assert configs[2] == {"x": 0.25, "model": {"kind": "a", "x2": 0.5}}
    without = suggestions(ready(RandomSearch(), space), 4)
    assert configs[3] == without[3]  # a point leaves the draws after it as they were
    assert configs[1]["x"] == without[1]["x"]


@pytest.mark.parametrize("point", [{"y": 1}, {"x": 2.0}, {"x": "a"}])
def test_a_point_outside_the_space_is_refused_at_once(point: dict[str, object]) -> None:
    search_alg = RandomSearch(points_to_evaluate=[{"x": 0.5}, point])
    with pytest.raises(InvalidParameter, match=r"search_alg.points_to_evaluate\[1\]"):
        ready(search_alg, {"x": uniform(0, 1)})


def test_a_lambda_in_the_space_goes_on_working_after_a_restart_with_the_same_space() -> None:
    space = {"x": uniform(0, 1), "y": sample_from(lambda config: config["x"] * 2)}
    before = ready(RandomSearch(), space)
    before.suggest("trial-0")
    after = ready(RandomSearch(), space, seed=99)
    after.load_state(json.loads(json.dumps(before.dump_state())))
    assert after.suggest("trial-1") == before.suggest("trial-1")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("randm", "Did you mean 'random'"),
        ({"type": "random", "sed": 1}, "sed"),
        ({"type": "random", "seed": -1}, "seed"),
        ({"seed": 1}, "type"),
        (7, "search_alg: got 7"),
    ],
)
def test_what_is_no_search_algorithm_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        parse_search_alg(value)


def test_none_is_random_search() -> None:
    assert parse_search_alg(None) == parse_search_alg("random") == RandomSearch()
