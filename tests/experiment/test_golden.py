"""Experiments of earlier versions fold to what they were, replay through the policies of today, and go on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from tests.experiment.golden.generate import shop
from tune_flows.core.codec import state_to_json
from tune_flows.core.decisions import DecisionRecord
from tune_flows.core.events import Event
from tune_flows.experiment.experiment import fold

FILES = sorted((Path(__file__).parent / "golden").glob("*/*.json"))


@pytest.fixture(params=FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def golden(request, tmp_path):
    """The experiment as it is begun, its objects in place; what came of it then."""
    content = json.loads(request.param.read_text())
    begun = shop(f"{tmp_path}/experiment", request.param.stem)
    for key, text in content["objects"].items():
        path = Path(begun.url, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return replace(begun, num_samples=5, stop={"training_iteration": 6}), content["state"]


def without_news(now, then):
    """Today's value, but for fields that the version of that time did not have."""
    if isinstance(then, dict) and isinstance(now, dict) and "type" not in then:
        return {key: without_news(now[key], then[key]) for key in then}
    if isinstance(then, list):
        return [without_news(*pair) for pair in zip(now, then, strict=True)]
    return now


def test_it_folds_to_what_it_was(golden):
    begun, state = golden
    assert without_news(state_to_json(fold(begun.journal())), state) == state


def test_it_replays_through_the_policies_of_today(golden):
    begun, state = golden
    experiment = begun.experiment()
    assert experiment.look() is not None
    _, runner, _ = experiment.claim()
    assert runner.differences == []
    assert without_news(state_to_json(runner.state), state) == state


def test_it_goes_on(golden):
    begun, _ = golden
    state = replace(begun, num_samples=6).run()
    assert state.ended == "all trials done"
    assert len(state.trials) == 6


def test_every_kind_of_record_has_been_seen():
    kinds = {kind.__name__ for kind in (*get_args(Event), *get_args(DecisionRecord))}
    seen = {kind for file in FILES for kind in kinds if f'\\"type\\":\\"{kind}\\"' in file.read_text()}
    assert kinds - seen == {"SearchExhausted", "StopRequested"}, "make a new golden experiment that has it"
