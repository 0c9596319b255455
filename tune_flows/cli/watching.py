"""Output of `show --watch`: a live display on a terminal, lines elsewhere."""

import json as json_format
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tune_flows.cli.output import strict
from tune_flows.cli.summary import best_of, done_of, number, state_of, summary
from tune_flows.cli.view_text import render_view
from tune_flows.store.control_files import Session

if TYPE_CHECKING:
    from rich.console import Console

    from tune_flows.results.view import ExperimentView

__all__ = ["Tell", "lines", "on_terminal"]

Tell = Callable[["ExperimentView", Session | None], None]
_LINES_BESIDE_ROWS = 12


@contextmanager
def on_terminal(output: "Console", limit: int | None) -> Generator[Tell]:
    """Show a live display of at most the terminal's height; its last state stays on the screen."""
    from rich.live import Live

    with Live(console=output, auto_refresh=False) as live:

        def tell(view: "ExperimentView", session: Session | None) -> None:
            rows = max(1, output.height - _LINES_BESIDE_ROWS)
            live.update(render_view(view, session, limit=min(rows, limit or rows)), refresh=True)

        yield tell


@contextmanager
def lines(*, json: bool) -> Generator[Tell]:
    """Print a line whenever something has changed."""
    told = ""

    def tell(view: "ExperimentView", session: Session | None) -> None:
        nonlocal told
        del session
        line = json_format.dumps(strict(summary(view)), allow_nan=False) if json else _line(view)
        if line != told:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            told = line

    yield tell


def _line(view: "ExperimentView") -> str:
    counts = ", ".join(f"{n} {status.lower()}" for status, n in view.num_trials.items() if n)
    best = best_of(view)
    found = f"; best {best['metric']}={number(best['value'])} ({best['trial_id']})" if best else ""
    state, trials = view.ended or state_of(view), counts or "none yet"
    return f"{view.name}: {state}; {done_of(view)} trials done ({trials}){found}"
