"""Every domain against its exact distribution, written down here a second time."""

import math
from collections import Counter
from statistics import NormalDist

import numpy as np
import pytest

from tune_flows.core import space

N = 5000
NORMAL = NormalDist(3.0, 2.0)


def draw(domain, seed=11):
    rng = np.random.default_rng(seed)
    return [domain.sample(rng) for _ in range(N)]


@pytest.mark.parametrize(
    ("domain", "cdf"),
    [
        (space.uniform(-5, -1), lambda x: (x + 5) / 4),
        (space.loguniform(1e-5, 1e-1), lambda x: math.log10(x / 1e-5) / 4),
        (space.loguniform(2, 3, base=2), lambda x: math.log(x / 2) / math.log(1.5)),
        (space.randn(), NormalDist().cdf),
        (space.randn(3, 2), NORMAL.cdf),
    ],
)
def test_continuous_domains_follow_their_distribution(domain, cdf):
    expected = np.array([cdf(x) for x in sorted(draw(domain))])
    steps = np.arange(N + 1) / N
    distance = max(np.abs(expected - steps[:-1]).max(), np.abs(expected - steps[1:]).max())
    assert distance < 1.95 / math.sqrt(N)  # Kolmogorov-Smirnov, one in a thousand


def even(values):
    return {value: 1 / len(values) for value in values}


def cells(values, mass):
    masses = {value: mass(value) for value in values}
    return {value: part / sum(masses.values()) for value, part in masses.items()}


@pytest.mark.parametrize(
    ("domain", "probabilities"),
    [
        (space.randint(-9, 15), even(range(-9, 15))),
        (space.qrandint(-21, 12, 3), even(range(-21, 13, 3))),
        (space.qrandint(1, 10, 4), even([4, 8])),
        (space.qrandint(1, 4), even([1, 2, 3, 4])),
        (space.lograndint(1, 20), cells(range(1, 20), lambda k: math.log((k + 1) / k))),
        (space.qlograndint(2, 40, 4), cells(range(4, 41, 4), lambda v: math.log((v + 4) / v))),
        (space.quniform(0, 1, 0.1), even([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])),
        (space.quniform(-0.75, 1, 0.5), even([-0.5, 0.0, 0.5, 1.0])),
        (
            space.qloguniform(0.1, 0.8, 0.1),
            cells([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], lambda v: math.log((v + 0.05) / (v - 0.05))),
        ),
        (
            space.qrandn(3, 2, 0.5),
            {k / 2: NORMAL.cdf(k / 2 + 0.25) - NORMAL.cdf(k / 2 - 0.25) for k in range(-20, 33)},
        ),
        (space.choice(["a", 2, None, True]), even(["a", 2, None, True])),
        (space.choice([1, 1, 2]), {1: 2 / 3, 2: 1 / 3}),
    ],
    ids=str,
)
def test_discrete_domains_follow_their_distribution(domain, probabilities):
    seen = Counter(draw(domain))
    assert seen.keys() <= probabilities.keys()
    common = {value: p for value, p in probabilities.items() if p * N >= 5}
    rare = N * (1 - sum(common.values()))
    chi_square = sum((seen[value] - p * N) ** 2 / (p * N) for value, p in common.items())
    degrees = len(common) - 1
    assert chi_square < degrees + 4 * math.sqrt(2 * degrees)
    assert sum(seen.values()) - sum(seen[value] for value in common) <= rare + 4 * math.sqrt(rare + 1)


def test_samples_depend_on_the_generator_alone():
    domain = space.loguniform(1e-5, 1e-1)
    assert draw(domain, 3) == draw(domain, 3)
    assert draw(domain, 3) != draw(domain, 4)
