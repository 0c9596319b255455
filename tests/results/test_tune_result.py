"""What an experiment leaves: the result of the flow, two tables, and the marker that it is complete."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from tests.experiment.simulated_experiment import EPOCH_S, Odd, Silent, SimulatedExperiment
from tune_flows.core.decisions import TrialDecided
from tune_flows.core.objective import Objective
from tune_flows.core.space import choice, uniform
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import CheckpointRef, Result, Trial, TrialStatus
from tune_flows.results.tune_result import TuneResult, best_trial, tune_result, write_tables
from tune_flows.store import COMPLETION_KEY, TRIALS_KEY, Journal, ObjectStore, read_table


def tables(shop):
    state = shop.run()
    store = ObjectStore(shop.url)
    write_tables(store)
    result = tune_result(shop.url, state, Objective(shop.metric))
    return state, result.dataframe(), result.trials_dataframe()


def test_one_row_for_each_training_iteration(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=3, stop={"training_iteration": 4})
    state, rows, _ = tables(shop)
    assert len(rows) == 12
    assert dict(rows.dtypes.astype(str)) == {
        "trial_id": "str",
        "training_iteration": "int64",
        "score": "float64",
        "n": "int64",
        "iterations_since_restore": "int64",
        "time_this_iter_s": "float64",
        "time_total_s": "float64",
        "timestamp": "float64",
        "done": "bool",
        "config/x": "float64",
        "config/model/layers": "int64",
    }
    for trial_id, group in rows.groupby("trial_id"):
        x = state.trials[trial_id].config["x"]
        assert list(group["training_iteration"]) == [1, 2, 3, 4]
        assert list(group["score"]) == pytest.approx([x, 2 * x, 3 * x, 4 * x])
        assert list(group["time_total_s"]) == pytest.approx([n * (0.5 + x) for n in range(1, 5)])
        assert list(group["done"]) == [False, False, False, True]
        assert (group["config/x"] == x).all()
    assert rows["timestamp"].is_monotonic_increasing
    assert rows["timestamp"].min() > EPOCH_S


def test_iterations_since_restore_begin_again_with_each_copy(tmp_path):
    pbt = {"type": "pbt", "perturbation_interval": 2, "seed": 2}
    shop = SimulatedExperiment(f"{tmp_path}/e", pbt, num_samples=3, slots=3)
    _, rows, trials = tables(shop)
    copied = {(one.trial_id, one.iteration) for one in shop.records(TrialDecided) if one.source}
    assert copied
    for trial_id, group in rows.groupby("trial_id"):
        expected, since = [], 0
        for iteration in group["training_iteration"]:
            since += 1
            expected.append(since)
            since = 0 if (trial_id, iteration) in copied else since
        assert list(group["iterations_since_restore"]) == expected
        last = trials.set_index("trial_id").loc[trial_id, "iterations_since_restore"]
        assert last == expected[-1]


def test_one_row_for_each_trial(tmp_path):
    def fault(trial_id, lease, iteration):
        return ValueError("boom") if trial_id == "trial-00001" and iteration == 2 else None

    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=3, stop={"training_iteration": 4}, fault=fault)
    _, _, trials = tables(shop)
    assert list(trials["trial_id"]) == ["trial-00000", "trial-00001", "trial-00002"]
    assert list(trials["status"]) == ["TERMINATED", "ERRORED", "TERMINATED"]
    assert list(trials["training_iteration"]) == [4, 1, 4]
    assert list(trials["failures"]) == [0, 1, 0]
    assert trials["reason"][0] == "stop: training_iteration >= 4"
    assert "boom" in trials["error"][1]
    assert trials["error"].isna().tolist() == [True, False, True]
    assert trials["checkpoint"].isna().all()
    assert str(trials["config/model/layers"].dtype) == "int64"


def test_columns_have_one_type_whatever_was_reported(tmp_path):
    space = {"x": uniform(0, 1), "kind": choice(["a", {"deep": 1}]), "list": [1, 2], "none": None}
    shop = SimulatedExperiment(
        f"{tmp_path}/e",
        space=space,
        num_samples=4,
        trainable=Odd,
        stop={"training_iteration": 4},
        metric="loss",
    )
    _, rows, trials = tables(shop)
    types = rows.dtypes.astype(str)
    assert types["seldom"] == "Int64"
    assert sorted(rows["seldom"].dropna()) == [1] * 4 + [3] * 4
    assert types["flag"] == "boolean"
    assert types["always"] == "int64"
    assert types["loss"] == "float64"
    assert rows["loss"].unique().tolist() == [math.inf]
    assert rows["score"].isna().sum() == 4
    assert types["mixed"] == "str"
    assert set(rows["mixed"]) == {'"text"', '[1, {"$float": "nan"}]'}
    assert types["big"] == "float64"
    assert types["config/list"] == "str"
    assert set(rows["config/list"]) == {"[1, 2]"}
    assert rows["config/none"].isna().all()
    assert "config/kind" in rows
    # a metric that is called as a column of ours
    assert trials["error"].isna().all()
    assert trials["metrics/error"].tolist() == [0.5] * 4


def test_tables_without_any_result_still_have_their_columns(tmp_path):
    shop = SimulatedExperiment(
        f"{tmp_path}/e", num_samples=2, fault=lambda trial_id, lease, iteration: ValueError("boom")
    )
    state, rows, trials = tables(shop)
    assert state.by_status()[TrialStatus.ERRORED] == 2
    assert rows.empty
    assert {"trial_id", "training_iteration"} <= set(rows.columns)
    assert list(trials["status"]) == ["ERRORED", "ERRORED"]
    result = tune_result(shop.url, state, Objective("score"))
    assert (result.best_trial_id, result.best_config, result.best_value) == (None, None, None)
    assert set(result.errors) == {"trial-00000", "trial-00001"}
    assert all(error.startswith("ValueError: boom") and "\n" not in error for error in result.errors.values())


def test_a_clone_is_listed_with_the_config_that_each_result_had(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", {"type": "pbt", "perturbation_interval": 2, "seed": 2})
    _, rows, trials = tables(shop)
    changed = rows.groupby("trial_id")["config/x"].nunique()
    assert changed.max() > 1
    last = rows.groupby("trial_id").last()
    assert last["config/x"].tolist() != trials["config/x"].tolist() or changed.max() > 1


def test_the_tables_can_be_made_anew(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=2)
    _, rows, trials = tables(shop)
    _, again, trials_again = tables(shop)
    pd.testing.assert_frame_equal(rows, again)
    pd.testing.assert_frame_equal(trials, trials_again)


def test_a_result_survives_json(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", {"type": "hyperband", "max_t": 9})
    state = shop.run()
    result = tune_result(shop.url, state, Objective("score"))
    assert TuneResult.model_validate_json(result.model_dump_json()) == result
    assert result.best_checkpoint is not None
    assert result.best_checkpoint_url == f"{shop.url}/{result.best_checkpoint.path}"
    assert (
        result.best_value
        == result.best_metrics["score"]
        == state.trials[result.best_trial_id].metrics["score"]
    )
    assert sum(result.num_trials.values()) == len(state.trials)


def trial(number, value, **metrics):
    result = Result(1, {"loss": value, **metrics}, 1.0, 1.0, 0.0)
    ref = CheckpointRef(f"ckpt/{number}", 1, "", 0)
    return Trial(f"trial-{number:05d}", {"x": number}, TrialStatus.TERMINATED, 1, result, checkpoints=(ref,))


def state_of(*values, **metrics):
    trials = [trial(number, value, **metrics) for number, value in enumerate(values)]
    return ExperimentState(trials={one.trial_id: one for one in trials}, ended="all trials done")


def test_a_result_is_shown_in_a_few_lines(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=2, stop={"training_iteration": 4})
    result = tune_result(shop.url, shop.run(), Objective(shop.metric))
    first, second = str(result).splitlines()
    assert first == f"{shop.url}: all trials done (2 terminated)"
    assert second.startswith(f"best: score={result.best_value:.6g} ({result.best_trial_id}) {{'")
    failed = result.model_copy(update={"best_trial_id": None, "errors": {"t": "KeyError: 'x'"}})
    assert str(failed).splitlines()[1:] == ["failed: 1, such as t: KeyError: 'x'"]


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([3.0, 1.0, 2.0], "min", 2),
        ([3.0, 1.0, 2.0], "max", 1),
        ([1.0, 1.0, 2.0], "min", 2),
        ([None, None], "min", 2),
    ],
)
def test_the_best_checkpoint_is_the_one_with_the_best_value(values, mode, best):
    state = state_of(0.5)
    (one,) = state.trials.values()
    refs = tuple(
        CheckpointRef(f"ckpt/0/{n}", n, "", 0, {} if value is None else {"loss": value})
        for n, value in enumerate(values, 1)
    )
    state.trials[one.trial_id] = replace(one, checkpoints=refs)
    assert tune_result("memory://e", state, Objective("loss", mode)).best_checkpoint == refs[best - 1]


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([3.0, 1.0, 2.0], "min", 1),
        ([3.0, 1.0, 2.0], "max", 0),
        ([1.0, 1.0], "min", 0),
        ([math.nan, 5.0], "min", 1),
        ([-math.inf, 5.0], "min", 1),
        ([math.inf, 5.0], "min", 1),
        ([math.inf, 5.0], "max", 1),
        (["text", None, True, 7], "max", 3),
        ([math.nan, math.nan], "min", None),
        ([], "min", None),
    ],
)
def test_the_best_trial_is_never_one_with_a_bad_value(values, mode, best):
    found = best_trial(state_of(*values), Objective("loss", mode))
    assert (found and found.config["x"]) == best


def test_without_a_metric_nothing_is_best():
    assert best_trial(state_of(1.0), Objective(None)) is None


def test_what_json_does_not_have_is_null_in_the_result():
    state = state_of(1.0, other=math.nan, curve=[math.inf, 1.0])
    result = tune_result("/e", state, Objective("loss", "min"))
    assert (result.best_metrics["other"], result.best_metrics["curve"]) == (None, [None, 1.0])
    assert TuneResult.model_validate_json(result.model_dump_json()) == result


def test_a_trainable_without_the_metric_has_no_tables(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", trainable=Silent, metric=None, num_samples=1)
    _, rows, _ = tables(shop)
    assert rows["loss"].tolist() == [1.0] * 9


def marker(shop):
    data = ObjectStore(shop.url).get(COMPLETION_KEY)
    return None if data is None else json.loads(data)


def test_an_experiment_that_has_ended_is_marked_with_its_result(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", {"type": "hyperband", "max_t": 9})
    state, _, _ = tables(shop)
    found = marker(shop)
    assert (found.pop("v"), found.pop("entry")) == (1, shop.entries())
    assert shop.url not in json.dumps(found)  # a copy elsewhere is complete too
    result = tune_result(shop.url, state, Objective("score"))
    assert TuneResult.model_validate(found | {"experiment_url": shop.url}) == result


def test_one_that_has_not_ended_is_not_marked(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    write_tables(ObjectStore(shop.url))
    assert marker(shop) is None


def test_one_whose_end_has_still_to_be_told_is_not_marked(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    assert shop.run().ended is not None
    write_tables(ObjectStore(shop.url), mark_end=False)
    assert marker(shop) is None
    assert not read_table(ObjectStore(shop.url), TRIALS_KEY).empty


def test_one_that_is_carried_on_is_not_marked_any_more(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=2)
    tables(shop)
    assert marker(shop) is not None
    shop.num_samples = 4
    assert shop.run_and_die(3, durable=True) is None
    assert marker(shop) is None


def test_the_marker_is_strict_json(tmp_path):
    shop = SimulatedExperiment(
        f"{tmp_path}/e", trainable=Odd, metric="always", num_samples=1, stop={"training_iteration": 1}
    )
    tables(shop)
    assert marker(shop)["best_metrics"]["loss"] is None
    assert b"NaN" not in ObjectStore(shop.url).get(COMPLETION_KEY)


class TakenOver(ObjectStore):
    """Another driver takes the experiment over just before the marker is written."""

    def put(self, key, data):
        if key == COMPLETION_KEY:
            Journal.open(ObjectStore(self.url), writer="other")
        super().put(key, data)


def test_a_driver_that_is_late_does_not_mark_what_another_one_carries_on(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=1)
    shop.run()
    write_tables(TakenOver(shop.url))
    assert marker(shop) is None
