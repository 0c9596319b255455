"""`import tune_flows` is paid for by every Ray worker: it must stay light."""

import subprocess
import sys

import pytest

import tune_flows
from tests.packaging.source_tree import ROOT

HEAVY = {
    "fsspec",
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "prefect",
    "pyarrow",
    "pydantic",
    "ray",
    "s3fs",
    "sklearn",
}
MAX_CPU_S = 0.150


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def test_import_loads_no_heavy_library():
    loaded = _python("import sys, tune_flows; print(*sys.modules)").split()

    assert HEAVY.isdisjoint(loaded), f"loaded by `import tune_flows`: {sorted(HEAVY.intersection(loaded))}"


def test_import_takes_little_cpu_time():
    code = "import time; start = time.process_time(); import tune_flows; print(time.process_time() - start)"
    cpu_s = min(float(_python(code)) for _ in range(3))

    assert cpu_s < MAX_CPU_S


def test_every_public_name_is_there():
    assert [name for name in tune_flows.__all__ if getattr(tune_flows, name, None) is None] == []
    assert set(tune_flows.__all__) <= set(dir(tune_flows))
    with pytest.raises(AttributeError, match="no attribute 'tuen'"):
        _ = tune_flows.tuen
