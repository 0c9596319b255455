"""Finds the experiment on its storage for a URL or name from the command line."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tune_flows.results.view import ExperimentView
    from tune_flows.store import ObjectStore
    from tune_flows.store.control_files import Session

__all__ = ["objects_at", "place_of", "session_of", "storage_at", "view_of"]

_BARE_NAME = re.compile(r"[A-Za-z0-9._-]+")
_BLOCK = "block:"
_PATIENCE_S = 15.0
"""Seconds of retries for a storage that does not answer: short, as a user waits at a terminal."""


def storage_at(url: str | None) -> "ObjectStore":
    """Return the storage at a URL; None: the default storage.

    Raises:
        InvalidParameter: The URL is invalid. Final.
    """
    from tune_flows.store import ObjectStore, locate

    found = locate(url, parameter="URL")
    return ObjectStore(found.url, access=found.access, retry_budget_s=_PATIENCE_S)


def objects_at(url: str) -> "ObjectStore":
    """Return the objects of the experiment at a URL, or of that name in the default storage.

    Raises:
        InvalidParameter: The URL is invalid. Final.
    """
    from tune_flows.core.errors import InvalidParameter
    from tune_flows.store import ObjectStore, experiment_url, locate_experiment

    if not url:
        raise InvalidParameter.of("URL", url, "where an experiment lies: storage_path/name")
    if _is_name(url):
        storage = storage_at(None)
        place, access = experiment_url(storage.url, url), storage.access
    else:
        found = locate_experiment(url, parameter="URL")
        place, access = found.url, found.access
    return ObjectStore(place, access=access, retry_budget_s=_PATIENCE_S)


def view_of(store: "ObjectStore") -> "ExperimentView":
    """Return a view of the experiment in its current state.

    Raises:
        ExperimentNotFound, CorruptJournalError, StorageError: As `open_experiment`.
    """
    from tune_flows.results.view import ExperimentView

    return ExperimentView(store)


def session_of(store: "ObjectStore") -> "Session | None":
    """Return the driver and settings of the newest session; None if they are unknown.

    A damaged session file is not an error here: it is not part of the history, only information.

    Raises:
        StorageError: The storage refused or did not answer.
    """
    from tune_flows.core.errors import CorruptJournalError
    from tune_flows.store.control_files import read_session

    try:
        return read_session(store)
    except CorruptJournalError:
        return None


def place_of(url: str, found: "ObjectStore") -> tuple[str | None, str]:
    """Return `storage_path` and `name` for `tune`, from a URL and the objects at it."""
    above, _, name = found.url.rpartition("/")
    if _is_name(url):
        return None, name
    return (url.rstrip("/").rpartition("/")[0] if url.startswith(_BLOCK) else above or "/"), name


def _is_name(url: str) -> bool:
    return _BARE_NAME.fullmatch(url) is not None and not Path(url).exists()
