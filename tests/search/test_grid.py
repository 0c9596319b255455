import itertools

import pytest

from tests.search.drive import ready, suggestions
from tune_flows.core.errors import InvalidParameter
from tune_flows.core.space import (
    ParamSpace,
    choice,
    grid_search,
    lograndint,
    loguniform,
    qlograndint,
    qloguniform,
    qrandint,
    qrandn,
    quniform,
    randint,
    randn,
    sample_from,
    uniform,
)
from tune_flows.search import GridSearch
from tune_flows.testing.spaces import every_domain


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (choice([1, [2], None]), [1, [2], None]),
        (grid_search(["a", "b"]), ["a", "b"]),
        (randint(2, 5), [2, 3, 4]),
        (lograndint(1, 4), [1, 2, 3]),
        (qrandint(4, 12, 4), [4, 8, 12]),
        (qlograndint(4, 12, 4), [4, 8, 12]),
        (quniform(0, 0.3, 0.1), [0.0, 0.1, 0.2, 0.3]),
        (qloguniform(0.1, 0.3, 0.1), [0.1, 0.2, 0.3]),
        (uniform(0, 2), [0.0, 1.0, 2.0]),
        (loguniform(0.01, 1), pytest.approx([0.01, 0.1, 1.0])),
        (randn(5, 2), pytest.approx([5 - 2 * 0.967421566, 5, 5 + 2 * 0.967421566])),
        (qrandn(0, 1, 1), [-1.0, 0.0, 1.0]),
        (qrandn(0, 0.01, 1), [0.0]),
    ],
)
def test_what_is_tried_of_each_domain(domain: object, values: list[object]) -> None:
    search_alg = ready(GridSearch(points_per_domain=3), {"x": domain})
    count = search_alg.variants(ParamSpace.parse({"x": domain}))
    assert [config["x"] for config in suggestions(search_alg, count)] == values


def test_the_last_path_changes_fastest_and_the_grid_is_repeated() -> None:
    space = {
        "a": choice([1, 2]),
        "m": {"b": uniform(0, 1)},
        "n": sample_from(lambda c: c["a"] * 10),
        "z": "const",
    }
    configs = suggestions(ready(GridSearch(points_per_domain=3), space), 12)
    walk = [
        {"a": a, "m": {"b": b}, "n": a * 10, "z": "const"}
        for a, b in itertools.product([1, 2], [0.0, 0.5, 1.0])
    ]
    assert configs == walk * 2


def test_a_shuffled_grid_has_the_same_points_in_another_order() -> None:
    space = {"a": randint(0, 10), "b": randint(0, 10)}
    plain = suggestions(ready(GridSearch(), space), 100)
    shuffled = suggestions(ready(GridSearch(shuffle_seed=1), space), 100)
    assert shuffled != plain
    assert sorted(map(str, shuffled)) == sorted(map(str, plain))
    assert suggestions(ready(GridSearch(shuffle_seed=1), space), 100) == shuffled


def test_one_point_of_a_domain_is_its_median() -> None:
    configs = suggestions(
        ready(GridSearch(points_per_domain=1), {"a": loguniform(0.01, 1), "b": uniform(0, 1)}), 1
    )
    assert configs[0] == {"a": pytest.approx(0.1), "b": 0.5}


def test_a_huge_grid_is_refused_with_the_size_of_each_domain() -> None:
    message = r"search_alg \(grid\): got '.*width: 64.*expected a grid of at most 1000000 points"
    with pytest.raises(InvalidParameter, match=message):
        GridSearch().variants(every_domain())
    with pytest.raises(InvalidParameter):
        ready(GridSearch(), {"n": randint(0, 10**9)})


def test_a_large_axis_costs_nothing() -> None:
    search_alg = ready(GridSearch(), {"n": randint(0, 10**6)})
    assert [config["n"] for config in suggestions(search_alg, 3)] == [0, 1, 2]
