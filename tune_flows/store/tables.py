"""Read and write tables as Parquet objects; keys of the files derived from the journal for other tools."""

from io import BytesIO
from typing import TYPE_CHECKING

from tune_flows.core.errors import StorageError
from tune_flows.store.objects import ObjectStore

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COMPLETION_KEY",
    "ERROR_PREFIX",
    "RESULTS_KEY",
    "TRIALS_KEY",
    "error_key",
    "read_table",
    "write_table",
]

RESULTS_KEY = "results.parquet"
TRIALS_KEY = "trials.parquet"
COMPLETION_KEY = "result.json"
"""Exists only while the experiment is complete; deleted before the experiment is resumed."""
ERROR_PREFIX = "errors"


def error_key(trial_id: str) -> str:
    """Return the key of the text file with the full error of a trial that failed permanently."""
    return f"{ERROR_PREFIX}/{trial_id}.txt"


def write_table(store: ObjectStore, key: str, frame: "pd.DataFrame") -> None:
    """Create or replace a Parquet object; the frame's index is not stored."""
    buffer = BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False)
    store.put(key, buffer.getvalue())


def read_table(store: ObjectStore, key: str) -> "pd.DataFrame":
    """Read a data frame from a Parquet object.

    Raises:
        StorageError: The object does not exist or is not Parquet. Final.
    """
    import pandas as pd

    data = store.get(key)
    if data is None:
        raise StorageError(f"{store.url_of(key)}: there is no such table.")
    try:
        return pd.read_parquet(BytesIO(data), engine="pyarrow")
    except ValueError as error:  # includes pyarrow's ArrowInvalid
        raise StorageError(f"{store.url_of(key)}: not a whole Parquet file ({error}).") from error
