import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.records import KINDS, METRICS, RECORDS
from tune_flows.core.codec import partition, record_from_json, record_to_json
from tune_flows.core.decisions import TrialSuggested
from tune_flows.core.errors import CorruptJournalError
from tune_flows.core.events import CapacityChanged, Event, ResultsReported
from tune_flows.core.rules import Rules
from tune_flows.core.trial import CheckpointRef, Result


def through_json(record):
    return record_from_json(json.loads(json.dumps(record_to_json(record), allow_nan=False)))


def test_the_samples_are_of_every_kind():
    assert {type(record) for record in RECORDS} == set(KINDS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_record_survives_json(record):
    again = through_json(record)
    assert type(again) is type(record)
    assert repr(again) == repr(record)  # equality would fail for NaN, and pass for 1 and True


def test_non_finite_metrics_come_back_as_floats():
    metrics = through_json(ResultsReported("t", 1, (Result(1, METRICS, 0.0, 0.0, 0.0),))).results[0].metrics
    assert math.isnan(metrics["loss"])
    assert metrics["best"] == math.inf
    assert metrics["worst"] == -math.inf
    assert math.isnan(metrics["curve"][1])
    assert metrics["curve"][2]["deep"] == [math.inf]
    assert metrics["exact"] == 0.1 + 0.2
    assert math.copysign(1, metrics["zero"]) == -1
    assert metrics["ok"] is True


KEYS = st.text() | st.sampled_from(["$float", "$$float"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, JSON_VALUES))
def test_any_config_survives_json(config):
    assert repr(through_json(TrialSuggested("t", config)).config) == repr(config)


def test_a_tuple_of_results_stays_a_tuple():
    record = ResultsReported("t", 1, (Result(1, {"pair": (1, 2)}, 0.0, 0.0, 0.0),))
    assert isinstance(through_json(record).results, tuple)
    assert through_json(record).results[0].metrics == {"pair": [1, 2]}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (
            {"type": "TrialTeleported", "trial_id": "t"},
            "'TrialTeleported'.*this version knows CapacityChanged",
        ),
        ({"slots": 1}, "type None"),
        ({"type": ["CapacityChanged"]}, "type"),
        (
            {"type": "CapacityChanged", "slots": 1, "colour": "red"},
            "'CapacityChanged' cannot be read.*colour",
        ),
        ({"type": "CapacityChanged"}, "'CapacityChanged' cannot be read.*slots"),
        ({"type": "CapacityChanged", "slots": "many"}, "'CapacityChanged' cannot be read.*slots"),
        ({"type": "TrialDecided", "trial_id": "t", "iteration": 1, "action": "SKIP"}, "action"),
        (
            {
                "type": "ResultsReported",
                "trial_id": "t",
                "lease": 1,
                "results": [{"iteration": 1, "metrics": {}, "time_this_iter_s": 0, "time_total_s": 0}],
            },
            "timestamp",
        ),
        ({"type": "RulesChanged", "rules": {"max_failures": 1, "max_luck": 2}}, "max_luck"),
    ],
)
def test_what_this_version_does_not_know_is_refused(data, named):
    with pytest.raises(CorruptJournalError, match=f"(?s){named}"):
        record_from_json(data)


def test_a_field_that_was_added_later_has_its_default_in_old_records():
    assert (
        record_from_json(
            {"type": "TrialFaulted", "trial_id": "t", "lease": 1, "kind": "trainable", "message": "boom"}
        ).traceback
        == ""
    )


def test_a_checkpoint_of_an_older_version_has_no_values():
    ref = {"path": "ckpt/t/1", "iteration": 3, "manifest_sha256": "ab", "size_bytes": 10}
    record = {"type": "CheckpointSaved", "trial_id": "t", "lease": 1, "checkpoint": ref}
    assert record_from_json(record).checkpoint == CheckpointRef(**ref)
    assert record_from_json(record).checkpoint.metrics == {}
    assert record_to_json(record_from_json(record))["checkpoint"] == {**ref, "metrics": {}}

    rules = {"num_to_keep": 2, "max_failures": 1}
    read = record_from_json({"type": "RulesChanged", "rules": rules}).rules
    assert read == Rules(**rules)
    assert (read.checkpoint_score_attribute, read.checkpoint_score_order) == (None, "max")


def test_partition_keeps_the_order_of_each_sort():
    events, decisions = partition(RECORDS)
    assert events + decisions == sorted(RECORDS, key=lambda record: not isinstance(record, Event))
    assert events[0] == RECORDS[0]
    assert CapacityChanged(4) in events
