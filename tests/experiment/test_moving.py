"""An experiment that was copied elsewhere goes on there, and leaves the one that it was copied from alone."""

import pytest

from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.s3_server import s3, s3_url  # noqa: F401
from tune_flows.core.rules import Rules
from tune_flows.experiment.experiment import fold
from tune_flows.store import CheckpointStore, ObjectStore


def shop(url):
    return SimulatedExperiment(
        url,
        {"type": "hyperband", "max_t": 9, "reduction_factor": 3},
        checkpoints=CheckpointStore(url),
        rules=Rules(checkpoint_at_end=True, num_to_keep=1),
    )


def contents(url):
    store = ObjectStore(url)
    return {key: store.get(key) for key in store.list()}


def copied(url, to):
    store = ObjectStore(to)
    for key, data in contents(url).items():
        store.put(key, data)
    return shop(to)


@pytest.mark.parametrize("bucket", [False, True], ids=["to-another-folder", "to-s3"])
def test_a_copy_goes_on_where_the_first_one_was(tmp_path, request, bucket):
    left = shop(f"{tmp_path}/here/experiment")
    assert left.run_and_die(20, durable=True) is None
    before = contents(left.url)
    assert any(key.startswith("ckpt/") for key in before)
    place = request.getfixturevalue("s3_url") if bucket else f"{tmp_path}/there"

    moved = copied(left.url, f"{place}/deeper/renamed")
    state = moved.run()

    undisturbed = shop(f"{tmp_path}/whole/experiment").run()
    assert [(t.trial_id, t.config, t.status, t.metrics) for t in state.trials.values()] == [
        (t.trial_id, t.config, t.status, t.metrics) for t in undisturbed.trials.values()
    ]
    assert contents(left.url) == before
    assert left.url not in "".join(map(repr, contents(moved.url).values()))
    for trial in state.trials.values():
        moved.checkpoints.restore(
            {"path": trial.checkpoint.path, "manifest_sha256": trial.checkpoint.manifest_sha256},
            tmp_path / "restored" / trial.trial_id,
        )

    assert fold(left.journal()).ended is None
    assert left.run().ended == "all trials done"
