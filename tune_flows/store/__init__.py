"""The store: objects at a URL, and the journal, checkpoints and tables kept in them.

It handles bytes, JSON records and URLs, not events or trials. It is the only package that imports fsspec.
"""

from tune_flows.store.access import StorageAccess
from tune_flows.store.checkpoints import CheckpointStore
from tune_flows.store.entries import Entry
from tune_flows.store.header import HEADER_KEY
from tune_flows.store.journal import Journal
from tune_flows.store.locations import experiment_url, resolve_storage
from tune_flows.store.objects import ObjectStore
from tune_flows.store.retry import Retry
from tune_flows.store.snapshots import Snapshot
from tune_flows.store.storage import Location, locate, locate_experiment
from tune_flows.store.tables import (
    COMPLETION_KEY,
    ERROR_PREFIX,
    RESULTS_KEY,
    TRIALS_KEY,
    error_key,
    read_table,
    write_table,
)

__all__ = [
    "COMPLETION_KEY",
    "ERROR_PREFIX",
    "HEADER_KEY",
    "RESULTS_KEY",
    "TRIALS_KEY",
    "CheckpointStore",
    "Entry",
    "Journal",
    "Location",
    "ObjectStore",
    "Retry",
    "Snapshot",
    "StorageAccess",
    "error_key",
    "experiment_url",
    "locate",
    "locate_experiment",
    "read_table",
    "resolve_storage",
    "write_table",
]
