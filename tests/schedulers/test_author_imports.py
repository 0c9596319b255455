"""Authors of policies import everything from `tune_flows.schedulers` or `tune_flows.search`."""

import importlib
import subprocess
import sys

import pytest

DECISIONS = "tune_flows.core.decisions"
HOMES = {
    "tune_flows.schedulers": {
        "TrialScheduler": "tune_flows.schedulers.base",
        "Action": "tune_flows.core.trial",
        "Decision": DECISIONS,
        "CONTINUE": DECISIONS,
        "STOP": DECISIONS,
        "PAUSE": DECISIONS,
        "YIELD": DECISIONS,
        "exploit": DECISIONS,
        "Trial": "tune_flows.core.trial",
        "TrialStatus": "tune_flows.core.trial",
        "Result": "tune_flows.core.trial",
        "Objective": "tune_flows.core.objective",
        "ParamSpace": "tune_flows.core.space",
        "Rng": "tune_flows.core.policy",
        "new_rng": "tune_flows.core.policy",
    },
    "tune_flows.search": {
        "SearchAlg": "tune_flows.search.base",
        "FINISHED": "tune_flows.search.base",
        "Finished": "tune_flows.search.base",
        "Trial": "tune_flows.core.trial",
        "TrialStatus": "tune_flows.core.trial",
        "Result": "tune_flows.core.trial",
        "Objective": "tune_flows.core.objective",
        "ParamSpace": "tune_flows.core.space",
        "Rng": "tune_flows.core.policy",
        "new_rng": "tune_flows.core.policy",
    },
}
CASES = [(place, name, home) for place, names in HOMES.items() for name, home in names.items()]


@pytest.mark.parametrize(("place", "name", "home"), CASES)
def test_it_is_the_object_of_its_home_module(place: str, name: str, home: str) -> None:
    module = importlib.import_module(place)

    assert getattr(module, name) is getattr(importlib.import_module(home), name)
    assert name in module.__all__


@pytest.mark.parametrize("place", HOMES)
def test_importing_it_loads_nothing_heavy(place: str) -> None:
    code = f"import sys, {place}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert not {"prefect", "ray", "pandas", "optuna", "fsspec", "matplotlib"} & set(loaded.split())
