"""The flow imports the pictures; what draws them is loaded when the first one is drawn."""

import subprocess
import sys

from tests.packaging.source_tree import ROOT


def test_importing_the_pictures_loads_nothing_that_draws():
    code = "import sys, tune_flows.plots; print(*{'matplotlib', 'pandas', 'ray'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == []


def test_drawing_needs_no_display_and_no_pyplot():
    code = (
        "import sys; from tests.plots.builders import ODD; from tune_flows.plots import learning_curves;"
        "learning_curves(ODD['searched'], 'png'); print('matplotlib.pyplot' in sys.modules)"
    )
    environment = {"PATH": "", "MPLBACKEND": "TkAgg"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["False"]
