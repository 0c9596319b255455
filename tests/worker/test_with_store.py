"""The host with the store that workers use."""

import pytest

from tests.trainable.samples import Counter, make_host
from tune_flows.core.errors import RestoreError
from tune_flows.store import CheckpointStore
from tune_flows.worker import AdvanceRequest, StartTrial


@pytest.mark.parametrize("files", [False, True])
def test_checkpoints_travel_through_the_store(tmp_path, files):
    store = CheckpointStore(str(tmp_path / "experiment"))
    config = {"files": files}
    host = make_host(Counter, checkpoints=store)
    host.start(StartTrial("trial-00000", 1, config))
    (saved,) = host.advance(AdvanceRequest(until=3, save_at=3)).checkpoints
    again = StartTrial("trial-00000", 2, config, iteration=3, checkpoint=saved)

    elsewhere = make_host(Counter, checkpoints=store)
    elsewhere.start(again)
    assert elsewhere.advance(AdvanceRequest(until=4)).results[0].metrics == {"count": 4}

    store.delete({"path": saved.path})
    with pytest.raises(RestoreError, match="deleted"):
        elsewhere.start(again)
