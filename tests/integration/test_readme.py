"""The Python of README.md runs as written: a script with a Ray of its own, and a module of a pipeline."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.docs_example import README, blocks
from tune_flows import TuneResult
from tune_flows.examples.digits import split_digits

pytestmark = pytest.mark.integration

SCRIPT, PIPELINE = blocks(README, "python")


def test_the_script_runs(prefect_environment: dict[str, str], tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")

    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | prefect_environment | {"TUNE_FLOWS_STORAGE": str(tmp_path / "storage")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert re.search(r"^\{'lr': [\d.e-]+, 'layers': [124]\} [\d.e-]+$", done.stdout, re.MULTILINE), (
        done.stdout
    )
    results = pd.read_parquet(tmp_path / "storage" / "readme" / "results.parquet")
    assert results["trial_id"].nunique() == 20
    assert results["training_iteration"].max() == 27


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, str]:
    """The digits as Parquet files by the name of the split."""
    paths = {split: str(tmp_path / f"{split}.parquet") for split in ("train", "validation")}
    frames = split_digits()
    for split, path in paths.items():
        frames[split].to_parquet(path, index=False)
    return paths


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that holds the pipeline."""
    name = "readme_pipeline"
    (tmp_path / f"{name}.py").write_text(PIPELINE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TUNE_FLOWS_STORAGE", str(tmp_path / "storage"))
    yield name
    sys.modules.pop(name, None)


@pytest.mark.usefixtures("prefect_api", "ray_address")
def test_the_pipeline_runs(pipeline: str, splits: dict[str, str]):
    result = importlib.import_module(pipeline).nightly(splits)

    assert isinstance(result, TuneResult)
    assert result.num_trials["TERMINATED"] == 8
    assert result.best_config is not None
    assert result.best_config.items() >= splits.items()
    assert result.best_value is not None
    assert result.best_value > 0.5
    assert result.dataframe()["training_iteration"].max() == 5
