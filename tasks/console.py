"""Keeps a run alive when its console breaks because the reader, such as a worker, is gone."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress

from rich.console import Console

from tune_flows.tasks.refcounted import refcounted

__all__ = ["console_may_break"]


@refcounted
@contextmanager
def console_may_break() -> Generator[None]:
    """Drop log lines that no process reads any more; rich, which Prefect logs with, would exit."""
    exits = Console.on_broken_pipe
    setattr(Console, "on_broken_pipe", _go_quiet)  # noqa: B010 - its parameter is not called `self`
    try:
        yield
    finally:
        Console.on_broken_pipe = exits


def _go_quiet(console: Console) -> None:
    console.quiet = True
    with suppress(OSError, ValueError):  # a file without a descriptor, or a closed one
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, console.file.fileno())  # other output to this file has no reader either
        os.close(devnull)
