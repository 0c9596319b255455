"""Search spaces for the conformance suites."""

from tune_flows.core.space import (
    ParamSpace,
    choice,
    lograndint,
    loguniform,
    qlograndint,
    qloguniform,
    qrandint,
    qrandn,
    quniform,
    randint,
    randn,
    uniform,
)

__all__ = ["every_domain", "small_space"]


def every_domain() -> ParamSpace:
    """Return a nested space with every kind of domain, and constants."""
    return ParamSpace.parse(
        {
            "lr": loguniform(1e-5, 1e-1),
            "width": qlograndint(8, 512, 8),
            "model": {
                "momentum": uniform(0.0, 1.0),
                "layers": randint(1, 5),
                "heads": lograndint(1, 64),
                "activation": choice(["relu", None, 1.5, {"name": "gelu", "exact": True}]),
                "init": randn(0.0, 2.0),
            },
            "dropout": quniform(0.0, 0.5, 0.1),
            "decay": qloguniform(0.001, 1.0, 0.001),
            "noise": qrandn(1.0, 0.5, 0.25),
            "batch": qrandint(16, 128, 16),
            "epochs": 3,
        }
    )


def small_space() -> ParamSpace:
    """Return a space with three domains: a float, an integer and a choice."""
    return ParamSpace.parse(
        {"x": uniform(0.0, 1.0), "model": {"n": randint(1, 6)}, "kind": choice(["a", "b", "c"])}
    )
