import math

import numpy as np
import pytest

from tune_flows.core.errors import InvalidParameter, UserError
from tune_flows.trainable import Checkpoint


def stored(data, tmp_path):
    Checkpoint.from_dict(data).write_to(tmp_path)
    return Checkpoint.from_directory(tmp_path)


def test_json_data_is_stored_as_json(tmp_path):
    data = {"a": [1, 2.5, None, {"b": "c"}], "inf": -math.inf}
    checkpoint = stored(data, tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.tune_flows.json"]
    assert checkpoint.is_dict
    assert checkpoint.to_dict() == data


@pytest.mark.parametrize("data", [{"a": (1, 2)}, {1: 2}, {"$float": "nan"}, {"s": {1, 2}}])
def test_what_json_would_change_is_pickled(data, tmp_path):
    checkpoint = stored(data, tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.tune_flows.pkl"]
    assert checkpoint.to_dict() == data


def test_arrays_survive(tmp_path):
    assert stored({"w": np.arange(3)}, tmp_path).to_dict()["w"].tolist() == [0, 1, 2]


def test_to_dict_gives_a_copy():
    checkpoint = Checkpoint.from_dict({"a": [1]})
    checkpoint.to_dict()["a"].append(2)

    assert checkpoint.to_dict() == {"a": [1]}


def test_a_folder_is_itself(tmp_path):
    checkpoint = Checkpoint.from_directory(str(tmp_path))

    assert checkpoint.path == tmp_path
    with checkpoint.as_directory() as folder:
        assert folder == tmp_path
    with pytest.raises(UserError, match="as_directory"):
        checkpoint.to_dict()


def test_a_dict_becomes_a_folder_for_the_block():
    with Checkpoint.from_dict({"a": 1}).as_directory() as folder:
        assert Checkpoint.from_directory(folder).to_dict() == {"a": 1}
    assert not folder.exists()


def test_wrong_sources(tmp_path):
    with pytest.raises(InvalidParameter, match="an existing folder"):
        Checkpoint.from_directory(tmp_path / "none")
    with pytest.raises(InvalidParameter, match="a dict"):
        Checkpoint.from_dict([1])  # pyright: ignore[reportArgumentType]
