"""`tune-flows ls`: the experiments below a storage URL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_flows.cli.exits import Exit, print_err

if TYPE_CHECKING:
    from tune_flows.results.view import ExperimentView
    from tune_flows.store import ObjectStore

__all__ = ["ls"]

_WIDTH = 8

Told = dict[str, Any] | list[str]
"""An experiment as JSON values, or as a row of the table."""


def ls(url: str | None = None, /, *, json: bool = False) -> int:
    """List the experiments right below a storage URL: state, trials done, best value, last change.

    States: new (no record yet), running, silent (no record for two minutes: its driver has died, or its
    trials are slow), stopped (gracefully, before its end), ended.

    Args:
        url: A storage_path; by default TUNE_FLOWS_STORAGE, else ~/.tune_flows.
        json: Print JSON: a list of objects.
    """
    from tune_flows.cli.locations import storage_at
    from tune_flows.cli.output import print_json
    from tune_flows.cli.summary import summary
    from tune_flows.core.errors import InvalidParameter
    from tune_flows.store.locations import is_local

    store = storage_at(url)
    if url and is_local(store.url) and not Path(store.url).is_dir():
        raise InvalidParameter.of("URL", url, "a folder that is there, or the URL of a storage")
    rows: list[Any] = []
    unreadable: list[str] = []
    names = _names_in(store)
    with ThreadPoolExecutor(_WIDTH) as pool:
        for found in pool.map(partial(_told, store, summary if json else _row), names):
            if isinstance(found, str):
                unreadable.append(found)
            elif found is not None:
                rows.append(found)
    if json:
        print_json(rows)
    elif rows:
        _print_table(rows)
    for error in unreadable:
        print_err(f"tune-flows: error: {error}")
    if not rows and not unreadable:
        print_err(f"tune-flows: there are no experiments in {store.url}")
    return Exit.FAILED if unreadable else Exit.DONE


def _names_in(store: "ObjectStore") -> list[str]:
    """Return the folders in the storage; an empty name if the storage itself is an experiment."""
    from tune_flows.store import HEADER_KEY

    return [""] if store.get(HEADER_KEY) is not None else store.folders()


def _told(store: "ObjectStore", tell: "Callable[[ExperimentView], Told]", name: str) -> "Told | str | None":
    """Return `tell(view)` for the experiment `name`; its error as text; None if it is no experiment.

    The view itself is not kept: with ten thousand trials it takes 10 MB.
    """
    from tune_flows.core.errors import ExperimentNotFound, TuneError
    from tune_flows.results.view import ExperimentView
    from tune_flows.store import HEADER_KEY

    try:
        if name and store.get(f"{name}/{HEADER_KEY}") is None:
            return None
        return tell(ExperimentView(store.below(name) if name else store))
    except ExperimentNotFound:
        return None
    except TuneError as error:
        return str(error)


def _row(view: "ExperimentView") -> list[str]:
    from tune_flows.cli.summary import age, best_of, done_of, number, state_of

    best = best_of(view)
    value = f"{best['metric']}={number(best['value'])}" if best else "-"
    return [view.name, state_of(view), done_of(view), value, age(view.updated_at)]


def _print_table(rows: list[list[str]]) -> None:
    from tune_flows.cli.output import grid, show_all

    columns: list[tuple[str, dict[str, Any]]] = [
        ("NAME", {}),
        ("STATE", {}),
        ("TRIALS", {"justify": "right"}),
        ("BEST", {"no_wrap": False}),
        ("LAST CHANGE", {"no_wrap": False}),
    ]
    show_all(grid(columns, rows))
