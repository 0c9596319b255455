"""The command line app with all commands, and `main`, which runs one of them."""

import os
import sys
from collections.abc import Callable, Sequence
from inspect import getdoc
from io import TextIOWrapper

from cyclopts import App, CycloptsError, Parameter

from tune_flows import __version__
from tune_flows.cli.best import best
from tune_flows.cli.exits import Exit, exit_code, print_err
from tune_flows.cli.listing import ls
from tune_flows.cli.plot import plot
from tune_flows.cli.results import results
from tune_flows.cli.resume import resume
from tune_flows.cli.run import run
from tune_flows.cli.show import show
from tune_flows.cli.stop import stop

__all__ = ["main"]

_NAME = "tune-flows"
_DEBUG = "--debug"
_HELP = """Hyperparameter tuning as a Prefect flow: run experiments, look at them, stop them, carry them on.

A URL is where an experiment lies: storage_path/name, a folder or such as s3://bucket/tuning/churn. \
A bare name is looked for in the default storage (TUNE_FLOWS_STORAGE, else ~/.tune_flows)."""
_EPILOGUE = """Each command tells its options with --help. --debug anywhere shows the traceback of an error.

Exit codes: 0 done; 1 failed; 2 wrong usage, parameter or URL; 3 the experiment has not ended; 130 Ctrl-C."""

_EXAMPLES: dict[Callable[..., int], str] = {
    run: """  tune-flows run tuning.yaml
  tune-flows run tuning.yaml --num-samples 50 --set scheduler.max_t=27
  tune-flows run my_project.train:train --metric loss --mode min --name churn
      --set param_space.lr='{"type": "loguniform", "lower": 1e-5, "upper": 0.1}'""",
    resume: """  tune-flows resume s3://bucket/tuning/churn
  tune-flows resume churn --num-samples 200 --errored""",
    stop: """  tune-flows stop s3://bucket/tuning/churn
  tune-flows stop churn --no-wait""",
    ls: """  tune-flows ls
  tune-flows ls s3://bucket/tuning --json | jq -r '.[] | select(.state == "ended") | .name'""",
    show: """  tune-flows show s3://bucket/tuning/churn
  tune-flows show churn --watch""",
    best: """  tune-flows best s3://bucket/tuning/churn
  tune-flows best churn --json | jq .config""",
    results: """  tune-flows results churn -o churn.parquet
  tune-flows results churn --trials --format csv | head""",
    plot: """  tune-flows plot churn -o churn.html
  tune-flows plot churn -o curves.png --kind curves""",
}


def _app() -> App:
    app = App(
        name=_NAME,
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=False),
        suppress_keyboard_interrupt=False,
    )
    for command, examples in _EXAMPLES.items():
        app.command(command, help=_about(command), help_epilogue=f"Examples:\n\n{examples}")
    return app


def _about(command: Callable[..., int]) -> str:
    """Return a docstring's text before `Args:`, each paragraph on one line, as terminals differ in width."""
    text = (getdoc(command) or "").partition("\nArgs:")[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments after the program's name; None: those of this process.

    Returns:
        The exit code, see `tune_flows.cli.exits`.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _DEBUG in given
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name that the terminal cannot show is not an error
    try:
        code = _app()(
            [one for one in given if one != _DEBUG],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except CycloptsError as error:
        asked = " ".join([_NAME, *(error.command_chain or ()), "--help"])
        print_err(f"{_NAME}: error: {error} See `{asked}`.")
        return Exit.USAGE
    except BaseException as error:
        if debug or isinstance(error, SystemExit):
            raise
        code = exit_code(error)
        if code is Exit.PIPE_CLOSED:
            # so that the interpreter does not flush into the closed pipe at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(code or Exit.DONE)
