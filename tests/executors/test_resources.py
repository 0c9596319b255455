"""What a trial takes, and how many trials fit."""

import pytest

from tune_flows.core.errors import InvalidParameter, ResourcesUnavailable
from tune_flows.executors.resources import Resources

NODE = {"CPU": 4.0, "GPU": 1.0, "memory": 8e9, "license": 2.0}


@pytest.mark.parametrize(
    ("asked", "by_name"),
    [
        (None, {"CPU": 1}),
        ({"cpu": 2, "gpu": 0.5, "memory": 1e9}, {"CPU": 2, "GPU": 0.5, "memory": 1e9}),
        ({"cpu": 0, "license": 1}, {"license": 1}),
    ],
)
def test_amounts_by_the_names_of_the_cluster(asked, by_name):
    assert Resources.parse(asked).by_name() == by_name


@pytest.mark.parametrize(
    ("asked", "nodes", "slots"),
    [
        ({"cpu": 1}, [NODE], 4),
        ({"cpu": 0.1}, [{"CPU": 0.3}], 3),
        ({"cpu": 1, "gpu": 0.5}, [NODE], 2),
        ({"cpu": 1, "memory": 3e9}, [NODE], 2),
        ({"cpu": 1, "license": 1}, [NODE], 2),
        ({"cpu": 3}, [NODE, NODE], 2),
        ({"cpu": 3}, [NODE, {"CPU": 2.0}], 1),
    ],
)
def test_a_trial_never_spans_two_nodes(asked, nodes, slots):
    assert Resources.parse(asked).slots(nodes) == slots


@pytest.mark.parametrize("asked", [{"cpu": 5}, {"gpu": 2}, {"memory": 1e12}, {"tpu": 1}])
def test_what_can_never_fit_is_refused(asked):
    with pytest.raises(ResourcesUnavailable, match="no node can ever hold"):
        Resources.parse(asked).slots([NODE, NODE])


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"cpu": -1}, "'cpu'"),
        ({"cpu": "2"}, "'cpu'"),
        ({"memory": True}, "'memory'"),
        ({"gpu": 1.5}, "'gpu'"),
        ({"license": float("nan")}, "'license'"),
        ({}, "resources_per_trial"),
        ({"cpu": 0}, "resources_per_trial"),
    ],
)
def test_an_impossible_amount_is_named(asked, named):
    with pytest.raises(InvalidParameter, match=named):
        Resources.parse(asked)
