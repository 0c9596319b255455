"""Experiments to draw: what a random search over a small space would leave, and odd ones."""

import math
import random

import numpy as np

from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace, choice, loguniform, randint, uniform
from tune_flows.core.trial import Result
from tune_flows.plots import Axis, Curve, Improvement, PlotData, Recorder, TrialPoint, axes_of
from tune_flows.plots.data import flat_config

SPACE = ParamSpace.parse(
    {
        "lr": loguniform(1e-5, 1e-1),
        "hidden": choice([16, 32, 64]),
        "model": {"act": choice(["relu", "tanh"]), "dropout": uniform(0, 0.5)},
        "layers": randint(1, 6),
        "fixed": 3,
    }
)
BEGAN = 1.7e9


def searched(trials=20, iterations=9, mode="max", metric="m", space=SPACE):
    """A search whose best learning rate is 1e-3."""
    rng, draws = random.Random(1), np.random.default_rng(1)
    objective = Objective(metric, mode)
    recorder, tried = Recorder(objective), []
    for i in range(trials):
        config = flat_config(space.sample(draws))
        peak = 0.9 - 0.1 * abs(math.log10(config["lr"]) + 3)
        begun, results = BEGAN + 4 * i, []
        for n in range(1, rng.choice([1, iterations // 3 + 1, iterations]) + 1):
            value = peak * (1 - math.exp(-n / 3))
            value = value if mode == "max" else 1 - value
            results.append(Result(n, {metric or "m": value}, 0.5, n * 0.5, begun + n * 0.5))
        trial_id = f"trial-{i:05d}"
        recorder.add_results(trial_id, results)
        last = results[-1]
        value = objective.value(objective.score(last))
        tried.append(TrialPoint(trial_id, config, value, last.timestamp, begun))
    return PlotData(
        "searched",
        objective,
        axes_of(space),
        tuple(tried),
        recorder.curves(),
        recorder.improvements(),
        recorder.results,
    )


def tried(number, value, **config):
    return TrialPoint(f"t{number}", config, value, BEGAN + number, BEGAN)


def plot_data(metric="m", mode="max", axes=(), tried=(), curves=(), improvements=(), results=0):
    return PlotData("x", Objective(metric, mode), axes, tried, curves, improvements, results)


_AXES = (
    Axis("lr", log=True),
    Axis("c", categories=("a", True, None, [1], {"k": 1})),
    Axis("日本 $x_{$\n|<b>&\0"),
)
_CONSTANT = (Axis("a"), Axis("b", log=True), Axis("c", categories=(1,)))
_FIRST = Improvement("t1", BEGAN, 1, 1.0)

ODD = {
    "nothing": plot_data(),
    "no metric": plot_data(None, tried=(tried(1, math.nan, lr=1.0),), axes=_AXES),
    "no parameters": plot_data(
        tried=(tried(1, 1.0),), curves=(Curve("t1", [1], [1.0]),), improvements=(_FIRST,), results=1
    ),
    "one trial": plot_data(
        axes=_AXES, tried=(tried(1, 1.0, lr=0.1),), curves=(Curve("t1", [1], [1.0]),), improvements=(_FIRST,)
    ),
    "no value": plot_data(
        axes=_AXES,
        tried=(tried(1, math.nan, lr=0.1), tried(2, math.inf, lr=0.2), tried(3, -math.inf)),
        curves=(Curve("t1", [1, 2], [math.nan, math.inf]),),
    ),
    "extremes": plot_data(
        "loss",
        "min",
        _AXES,
        (
            tried(1, math.nan, lr=0.1),
            tried(2, 1e300, lr=-5, c=[1]),
            tried(3, 0.5, lr="text", c="unknown"),
            tried(4, -1e308, lr=1e-300, c={"k": 1}),
            tried(5, 0.5, lr=2**2000),
        ),
        (Curve("t2", [1, 5, 10**12], [1e308, math.nan, -1e308]), Curve("t4", [3], [math.inf])),
        (Improvement("t2", math.nan, 1, 1e300), Improvement("t3", 5.0, 2, -1e308)),
        2,
    ),
    "constants": plot_data(
        axes=_CONSTANT,
        tried=tuple(tried(i, 0.5, a=1, b=0.1, c=1) for i in range(5)),
        curves=tuple(Curve(f"t{i}", [1, 2, 3], [0.5] * 3) for i in range(5)),
        improvements=(_FIRST,),
        results=15,
    ),
    "zeros": plot_data(axes=(Axis("a"),), tried=(tried(1, 0.0, a=0), tried(2, 0.0, a=0))),
    "many categories": plot_data(
        axes=(Axis("a", categories=tuple(range(99))), Axis("s", categories=tuple(map(str, range(99))))),
        tried=tuple(tried(i, float(i), a=i % 99, s=str(i % 99)) for i in range(200)),
    ),
    "tiny differences": plot_data(
        axes=(Axis("a"), Axis("b", log=True)),
        tried=tuple(tried(i, 1000 + i * 1e-13, a=1e15 + i, b=5e-324 * (i + 1)) for i in range(5)),
        curves=(Curve("t1", [1, 2], [1000.0, 1000 + 1e-13]),),
    ),
    "searched": searched(),
    "smaller is better": searched(mode="min"),
}
