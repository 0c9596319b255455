"""`tune-flows` as a process: what it loads, how fast it is there, pipes and signals."""

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.docs_example import ROOT
from tune_flows.cli import main
from tune_flows.core.imports import import_object

MAX_CPU_S = 0.5
COMMANDS = ("run", "resume", "stop", "ls", "show", "best", "results", "plot")

PROGRAM = """
import sys
from tune_flows.cli import main
code = main(sys.argv[1:])
print([name for name in ("ray", "prefect") if name in sys.modules], code, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", ["ls {}", "show {}/ended", "best {}/ended", "results {}/ended", "stop {}/ended", "--help"]
)
def test_looking_loads_neither_ray_nor_prefect(storage: Path, arguments: str):
    command = [sys.executable, "-c", PROGRAM, *arguments.format(storage).split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[] 0"


def test_help_is_there_at_once():
    code = (
        "import time; start = time.process_time(); from tune_flows.cli import main; main(['--help']);"
        "import sys; print(time.process_time() - start, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    took = [float(subprocess.run(command, capture_output=True, text=True).stderr) for _ in range(3)]
    assert min(took) < MAX_CPU_S


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(call: Call, command: str):
    said = call(command, "--help")
    assert said.code == 0
    assert f"tune-flows {command}" in said.out.split("Examples:")[1]


def test_the_list_of_commands(call: Call):
    said = call("--help")
    assert all(f" {command} " in said.out for command in COMMANDS)
    assert "Exit codes: 0 done" in said.out
    assert call("--version").out.strip()


def test_a_pipe_that_is_closed(storage: Path):
    command = [sys.executable, "-m", "tune_flows", "results", str(storage / "many")]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_without_unicode(storage: Path):
    command = [sys.executable, "-m", "tune_flows", "show", str(storage / "ended")]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "50"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout  # for an ellipsis


def test_watching_is_left_by_ctrl_c(storage: Path):
    command = [sys.executable, "-m", "tune_flows", "show", str(storage / "running"), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("running: ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "tune-flows: interrupted\n")


def test_the_program_is_installed_under_its_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert import_object(project["scripts"]["tune-flows"], "the entry point") is main
