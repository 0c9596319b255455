"""What stands in docs/trainables.md runs as it stands there."""

import re

import pytest

from tests.docs_example import DOCS
from tests.trainable.samples import make_host, run_to_halt
from tune_flows.worker import AdvanceRequest, StartTrial


@pytest.fixture(scope="module")
def page():
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (DOCS / "trainables.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    names = {"__name__": "docs_trainables"}
    for block in blocks:
        exec(block, names)
    return names


@pytest.mark.parametrize("name", ["train", "Curve", "train_with_files"])
def test_training_goes_on_from_a_checkpoint_as_if_never_interrupted(page, name):
    config = {"lr": 0.1, "epochs": 12}
    host = make_host(page[name])
    host.start(StartTrial("whole", 1, config))
    whole = run_to_halt(host, AdvanceRequest(until=12))
    host.start(StartTrial("cut", 1, config))
    begun = run_to_halt(host, AdvanceRequest(until=7, save_at=7))
    host.start(StartTrial("cut", 2, config, iteration=7, checkpoint=begun.checkpoints[-1]))
    rest = run_to_halt(host, AdvanceRequest(until=12))
    host.close()

    assert [r.metrics for r in begun.results + rest.results] == [r.metrics for r in whole.results]


def test_large_objects(page):
    host = make_host(page["trainable"])
    host.start(StartTrial("t", 1, {"scale": 2}))

    results = run_to_halt(host, AdvanceRequest()).results
    assert [r.metrics["mean"] for r in results] == [49_999.0, 99_999.0]
