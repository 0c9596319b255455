"""Workers import `tune_flows.trainable` and pay for what it loads."""

import subprocess
import sys

from tests.packaging.source_tree import ROOT

HEAVY = {"fsspec", "numpy", "optuna", "pandas", "prefect", "pyarrow", "pydantic", "ray", "s3fs"}


def test_import_loads_the_standard_library_only():
    code = "import sys, tune_flows.trainable, tune_flows.stoppers.thresholds; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()

    assert HEAVY.isdisjoint(loaded)
