"""`tune-flows show`: the state of one experiment, once or continuously."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tune_flows.cli.exits import Exit

if TYPE_CHECKING:
    from tune_flows.results.view import ExperimentView
    from tune_flows.store import ObjectStore

__all__ = ["show"]

_ROWS = 20


def show(
    url: str,
    /,
    *,
    watch: Annotated[bool, Parameter(name=["--watch", "-w"])] = False,
    interval_s: Annotated[float, Parameter(show_default=True)] = 2.0,
    all: Annotated[bool, Parameter(name=["--all", "-a"])] = False,
    json: bool = False,
) -> int:
    """Show an experiment: its state, the best trial, and a table of the trials, the best first.

    Args:
        url: Where the experiment lies.
        watch: Refresh until it has ended, or Ctrl-C; without a terminal, a line for each change.
        interval_s: Seconds between two refreshes.
        all: Show every trial, not the first 20.
        json: Print JSON: the summary, as `ls` gives it, with `trials`. With --watch, a line for each change.
    """
    from tune_flows.cli.locations import objects_at, session_of, view_of
    from tune_flows.cli.output import print_json, show_all
    from tune_flows.cli.summary import summary, trial_form
    from tune_flows.cli.view_text import render_view
    from tune_flows.core.errors import InvalidParameter

    if not 0.1 <= interval_s <= 3600:
        raise InvalidParameter.of("--interval-s", interval_s, "seconds from 0.1 to 3600")
    store = objects_at(url)
    view = view_of(store)
    if watch:
        _watch(view, store, interval_s, limit=None if all else _ROWS, json=json)
    elif json:
        print_json({**summary(view), "trials": [trial_form(trial) for trial in view.trials]})
    else:
        show_all(render_view(view, session_of(store), limit=None if all else _ROWS))
    return Exit.DONE


def _watch(
    view: "ExperimentView", store: "ObjectStore", interval_s: float, *, limit: int | None, json: bool
) -> None:
    import time

    from tune_flows.cli.locations import session_of
    from tune_flows.cli.output import console
    from tune_flows.cli.watching import lines, on_terminal

    output = console()
    shown = lines(json=json) if json or not output.is_terminal else on_terminal(output, limit)
    with shown as tell:
        while True:
            tell(view, session_of(store))
            if view.is_finished:
                return
            time.sleep(interval_s)
            view.refresh()
