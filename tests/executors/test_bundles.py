"""Several bundles for a trial: what is taken as such, and how many trials fit."""

import pytest

from tune_flows.core.errors import InvalidParameter, ResourcesUnavailable
from tune_flows.executors.bundles import Bundles, parse_resources
from tune_flows.executors.resources import Resources

SMALL, LARGE = {"CPU": 2.0}, {"CPU": 4.0, "GPU": 1.0}


def test_what_is_taken():
    assert parse_resources(None) == Resources()
    assert parse_resources({"cpu": 2}) == Resources(cpu=2)
    bundles = (Resources(cpu=1), Resources(cpu=2, gpu=1))
    asked = [{"cpu": 1}, {"cpu": 2, "gpu": 1}]
    assert parse_resources(asked) == Bundles(bundles, "PACK")
    assert parse_resources({"bundles": asked, "strategy": "SPREAD"}) == Bundles(bundles, "SPREAD")
    assert Bundles(bundles).by_name() == {"CPU": 3, "GPU": 1}


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ([], "resources_per_trial"),
        ([1], "resources_per_trial"),
        ("cpu", "resources_per_trial"),
        ([{"cpu": -1}], "'cpu'"),
        ([{"cpu": 0}], "some amount above 0"),
        ({"bundles": [{"cpu": 1}], "strategy": "NEAR"}, "strategy"),
        ({"bundles": [{"cpu": 1}], "cpu": 1}, "resources_per_trial"),
        ({"bundles": {"cpu": 1}}, "resources_per_trial"),
    ],
)
def test_what_is_refused(asked, named):
    with pytest.raises(InvalidParameter, match=named):
        parse_resources(asked)


@pytest.mark.parametrize(
    ("strategy", "bundles", "nodes", "room"),
    [
        ("PACK", [1, 1], [SMALL, SMALL], 2),
        ("PACK", [1, 2], [SMALL, SMALL], 1),
        ("PACK", [2, 2], [SMALL, SMALL], 1),
        ("PACK", [0.5, 0.5], [SMALL], 2),
        ("STRICT_PACK", [2, 2], [SMALL, SMALL], 0),
        ("STRICT_PACK", [1, 1], [SMALL, SMALL, LARGE], 4),
        ("SPREAD", [1, 1], [SMALL], 1),
        ("SPREAD", [1, 1], [SMALL, SMALL], 2),
        ("STRICT_SPREAD", [1, 1], [LARGE], 0),
        ("STRICT_SPREAD", [1, 1], [SMALL, LARGE], 2),
        ("PACK", [1, 1], [], 0),
    ],
)
def test_room(strategy, bundles, nodes, room):
    asked = Bundles(tuple(Resources(cpu=cpu) for cpu in bundles), strategy)
    assert asked.room(nodes) == room
    if room:
        assert asked.slots(nodes) == room
    else:
        with pytest.raises(ResourcesUnavailable, match=f"with {strategy}"):
            asked.slots(nodes)


def test_other_resources_count_too():
    asked = parse_resources([{"cpu": 1}, {"gpu": 0.5}])
    assert asked.room([LARGE]) == 2
    assert asked.room([SMALL]) == 0
