"""A flow for others, deployed by its module in the tests."""

from tune_flows import tune, uniform

climbing = tune.with_trainable(
    "tests.integration.trainables:climb",
    name="tune-climb",
    param_space={"slope": uniform(0, 1), "steps": 3},
    metric="score",
    presets={"num_samples": 2},
)
