"""Exit codes of the commands, and their error messages."""

import sys
from enum import IntEnum

from tune_flows.core.errors import TuneError, UserError

__all__ = ["Exit", "exit_code", "print_err"]


class Exit(IntEnum):
    """Exit codes; docs/command-line.md lists them."""

    DONE = 0
    """The command has done what was requested."""
    FAILED = 1
    """Trials failed, the storage does not answer, there is no result to print, or tune_flows has a bug."""
    USAGE = 2
    """The command line, a parameter or a URL is invalid: the same call fails again."""
    NOT_ENDED = 3
    """The experiment has not ended: it was stopped earlier, or does not stop."""
    INTERRUPTED = 130
    """Ctrl-C."""
    PIPE_CLOSED = 141
    """The reader of the output has closed the pipe."""


def print_err(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def exit_code(error: BaseException) -> Exit:
    """Return the exit code for an error, and print the error on standard error unless it is a closed pipe."""
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
