"""Tables as Parquet objects, and the keys of all that is derived from the journal for other tools."""

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
"""There only when the experiment has ended: deleted before it is carried on."""
ERROR_PREFIX = "errors"


def error_key(trial_id: str) -> str:
    """Where the whole error of a trial that failed for good lies, as text."""
    return f"{ERROR_PREFIX}/{trial_id}.txt"


def write_table(store: ObjectStore, key: str, frame: "pd.DataFrame") -> None:
    """Make or replace a Parquet object; the frame's index is not stored."""
    buffer = BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False)
    store.put(key, buffer.getvalue())


def read_table(store: ObjectStore, key: str) -> "pd.DataFrame":
    """The frame in a Parquet object.

    Raises:
        StorageError: There is no such object, or it is not Parquet. Final.
    """
    import pandas as pd

    data = store.get(key)
    if data is None:
        raise StorageError(f"{store.url_of(key)}: there is no such table.")
    try:
        return pd.read_parquet(BytesIO(data), engine="pyarrow")
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise StorageError(f"{store.url_of(key)}: not a whole Parquet file ({error}).") from error
