import pandas as pd
import pytest

from tune_flows.core.errors import StorageError
from tune_flows.store import RESULTS_KEY, read_table, write_table


def test_a_frame_comes_back_with_its_types(any_store):
    frame = pd.DataFrame(
        {
            "trial_id": ["a", "b"],
            "training_iteration": pd.array([1, None], dtype="Int64"),
            "loss": [0.5, float("nan")],
            "at": pd.to_datetime([1, 2], unit="s", utc=True),
            "config/layers": [[1, 2], [3]],
        }
    )
    write_table(any_store, RESULTS_KEY, frame)
    found = read_table(any_store, RESULTS_KEY)
    assert found.dtypes.to_dict() == frame.dtypes.to_dict()
    pd.testing.assert_frame_equal(found.drop(columns="config/layers"), frame.drop(columns="config/layers"))
    assert [list(value) for value in found["config/layers"]] == [[1, 2], [3]]


def test_no_table_and_no_parquet_are_said(store):
    with pytest.raises(StorageError, match=r"results\.parquet: there is no such table"):
        read_table(store, RESULTS_KEY)
    store.put(RESULTS_KEY, b"rubbish")
    with pytest.raises(StorageError, match=r"results\.parquet: not a whole Parquet file"):
        read_table(store, RESULTS_KEY)
