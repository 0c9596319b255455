"""How a command ends: its exit code, and the line that says what went wrong."""

import sys
from enum import IntEnum

from tune_flows.core.errors import TuneError, UserError

__all__ = ["Exit", "exit_code", "print_err"]


class Exit(IntEnum):
    """Exit codes; docs/command-line.md lists them."""

    DONE = 0
    """What was asked for has happened."""
    FAILED = 1
    """Trials failed, the storage does not answer, there is no answer to give, or a bug of ours."""
    USAGE = 2
    """The command line, a parameter or a URL cannot be: the same call again ends the same way."""
    NOT_ENDED = 3
    """The experiment has not ended: it was stopped before, or does not stop."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """Whoever read the output has gone."""


def print_err(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def exit_code(error: BaseException) -> Exit:
    """What an error means for the exit code; it is told on standard error where it is news."""
    match error:
        case BrokenPipeError():
            return Exit.PIPE_CLOSED
        case KeyboardInterrupt():
            print_err("tune-flows: interrupted")
            return Exit.INTERRUPTED
        case UserError():
            print_err(f"tune-flows: error: {error}")
            return Exit.USAGE
        case TuneError() | OSError():
            print_err(f"tune-flows: error: {error}")
        case _:
            print_err(f"tune-flows: {type(error).__name__}: {error} (--debug shows the traceback)")
    return Exit.FAILED
