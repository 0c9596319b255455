"""README.md tells the truth: its Python runs as written, its commands exist."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.docs_example import blocks
from tests.packaging.source_tree import ROOT
from tune_flows import TuneResult
from tune_flows.examples.digits import split_digits

pytestmark = pytest.mark.integration

README = ROOT / "README.md"
SCRIPT, PIPELINE = blocks(README, "python")
COMMANDS = [
    shlex.split(line.removeprefix("$ "), comments=True)
    for block in blocks(README, "console")
    for line in block.splitlines()
]


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
    for split, frame in split_digits().items():
        frame.to_parquet(paths[split], index=False)
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


@pytest.mark.parametrize("command", [command for command in COMMANDS if command[0] == "make"], ids=" ".join)
def test_make_has_the_target(command: list[str]):
    (target,) = command[1:]

    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command[0] != "make"], ids=" ".join)
def test_prefect_has_the_command_and_its_options(command: list[str]):
    program, *arguments = command
    assert program == "prefect"
    options = {argument for argument in arguments if argument.startswith("-")}

    shown = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments, "--help"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,  # it fails for a command that does not exist
    ).stdout

    assert options <= set(re.findall(r"[\w-]+", shown))
