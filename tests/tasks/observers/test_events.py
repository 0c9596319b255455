"""What is told of an experiment, in virtual time and without Prefect's API."""

from collections import Counter
from typing import Any

import pytest
from prefect.events.schemas.events import Event

from tests.experiment.simulated_experiment import Crash, Curve, DyingStore, SimulatedExperiment
from tune_flows.core.decisions import TrialLaunched, TrialSuggested
from tune_flows.core.errors import AllTrialsFailed, TrainableError
from tune_flows.core.events import DriverStarted, DriverStopped, TrialCompleted, TrialPaused
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.results.tune_result import TuneResult, require_success, tune_result
from tune_flows.runner.runner import Step
from tune_flows.tasks.observers.events import RATES, ExperimentEvents
from tune_flows.tasks.rates import Rate, RateBound

OBJECTIVE = Objective("score", "max")


class Told:
    """Events as they would reach the server."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: str, resource: dict[str, str], **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        self.events.append(Event(event=event, resource=resource, **given))

    def names(self) -> list[str]:
        return [event.event.removeprefix("tune-flows.") for event in self.events]

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event.event == f"tune-flows.{name}"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told() -> Told:
    return Told()


def run(
    shop: SimulatedExperiment,
    told: Told,
    *,
    constants: dict[str, Any] | None = None,
    own_errors: dict[str, Exception] | None = None,
    **options: Any,
) -> TuneResult:
    """The experiment driven to its end, as the flow does it."""
    events = ExperimentEvents(shop.url, OBJECTIVE, constants=constants or {}, emit=told, clock=Clock())
    shop.observers = [events]
    state = shop.run(**options)
    result = tune_result(shop.url, state, OBJECTIVE)
    with events.ending(state, result):
        require_success(result, shop.rules.fail_fast, own_errors)
    return result


def test_the_story_of_an_experiment(tmp_path, told: Told):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=3, checkpoint_frequency=3)
    result = run(shop, told, constants={"data/train": "s3://bucket/train.parquet", "model/layers": 2})

    names = Counter(told.names())
    assert told.names()[0] == "experiment.started"
    assert told.names()[-1] == "experiment.finished"
    assert names["trial.started"] == names["trial.terminated"] == 3
    assert names["trial.checkpointed"] == 9
    assert names["trial.errored"] == names["trial.paused"] == names["trial.resumed"] == 0
    finished = told.events[-1]
    assert TuneResult.model_validate(finished.payload["result"]) == result
    assert finished.payload["best_value"] == result.best_value
    assert finished.payload["ended"] == "all trials done"
    assert finished.resource.id == f"tune-flows.experiment.{shop.url}"
    assert finished.resource["tune-flows.experiment.name"] == "e"
    assert [(r.role, r.id) for r in finished.related] == [("data", "s3://bucket/train.parquet")]
    ended = told.of("trial.terminated")[0]
    assert ended.resource.id == f"tune-flows.trial.{shop.url}/{ended.payload['trial_id']}"
    assert ended.resource_in_role["experiment"].id == finished.resource.id
    assert ended.payload["iteration"] == 9
    assert ended.payload["metrics"]["score"] == pytest.approx(9 * ended.payload["config"]["x"])
    saved = told.of("trial.checkpointed")[0]
    assert saved.payload["checkpoint_url"].startswith(f"{shop.url}/")


def test_best_changed_only_for_the_better(tmp_path, told: Told):
    result = run(SimulatedExperiment(f"{tmp_path}/e", num_samples=2, slots=1), told)

    better = [event.payload for event in told.of("experiment.best-changed")]
    values = [payload["best_value"] for payload in better]
    assert values == sorted(set(values))
    assert [payload["previous_best_value"] for payload in better] == [None, *values[:-1]]
    assert better[0]["result"]["ended"] == "not ended"
    assert values[-1] <= result.best_value


def test_what_is_held_back_is_counted(tmp_path, told: Told):
    run(SimulatedExperiment(f"{tmp_path}/e", num_samples=200, stop={"training_iteration": 2}), told)

    names = Counter(told.names())
    assert names["trial.started"] == names["trial.terminated"] == 20
    assert names["experiment.best-changed"] <= RATES["experiment.best-changed"].at_once
    left_out = told.events[-1].payload["left_out"]
    assert left_out["trial.started"] == left_out["trial.terminated"] == 180


def test_a_rate():
    clock = Clock()
    bound = RateBound(Rate(at_once=2, per_s=0.5), clock)

    assert [bound.passes() for _ in range(4)] == [True, True, False, False]
    clock.now = 2.0
    assert [bound.passes() for _ in range(2)] == [True, False]
    clock.now = 1000.0
    assert [bound.passes() for _ in range(3)] == [True, True, False]
    assert bound.left_out == 4


def test_pauses_are_told_and_what_follows(tmp_path, told: Told):
    run(SimulatedExperiment(f"{tmp_path}/e", {"type": "hyperband", "max_t": 9}, num_samples=9), told)

    names = Counter(told.names())
    assert names["trial.paused"]
    assert names["trial.resumed"]
    assert names["trial.terminated"] == 9


class Doomed(Curve):
    def step(self):
        if self.iteration == 2:
            raise ValueError("no luck\nat all")
        return super().step()


def test_failures(tmp_path, told: Told):
    shop = SimulatedExperiment(
        f"{tmp_path}/e", trainable=Doomed, num_samples=3, rules=Rules(max_failures=1, retry_delay_s=0)
    )
    with pytest.raises(AllTrialsFailed):
        run(shop, told)

    assert len(told.of("trial.errored")) == 3
    assert len(told.of("trial.resumed")) == 3
    assert "no luck" in told.of("trial.errored")[0].payload["error"]
    assert "at all" not in told.of("trial.errored")[0].payload["error"]
    failed = told.events[-1]
    assert failed.event == "tune-flows.experiment.failed"
    assert "All 3 trial(s) failed" in failed.payload["error"]


def test_a_failure_at_once_is_told_too(tmp_path, told: Told):
    def fault(trial_id: str, lease: int, iteration: int) -> Exception | None:
        return TrainableError("boom") if (trial_id, iteration) == ("trial-00000", 3) else None

    shop = SimulatedExperiment(f"{tmp_path}/e", fault=fault, rules=Rules(fail_fast="raise"))
    with pytest.raises(KeyError):
        run(shop, told, own_errors={"trial-00000": KeyError("boom")})

    assert told.names()[-1] == "experiment.failed"
    assert told.events[-1].payload["error"] == "'boom'"
    assert told.events[-1].payload["ended"] == "fail_fast: trial-00000 failed"
    ends = {event.payload["trial_id"]: event.event for event in told.events if "trial_id" in event.payload}
    assert list(ends.values()) == ["tune-flows.trial.errored", "tune-flows.trial.terminated"]


@pytest.mark.parametrize("writes", [4, 9])
def test_a_resumed_run_tells_nothing_again(tmp_path, told: Told, writes: int):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=4)
    with pytest.raises(Crash):
        run(shop, told, store=DyingStore(shop.url, writes=writes, durable=False))
    before = told.names()
    assert "experiment.finished" not in before
    run(shop, told)

    names = Counter(told.names())
    assert told.names()[len(before)] == "experiment.resumed"
    assert names["trial.terminated"] == names["trial.started"] == 4
    values = [event.payload["best_value"] for event in told.of("experiment.best-changed")]
    assert values == sorted(set(values))
    assert names["experiment.finished"] == 1
    told.events.clear()
    run(shop, told)
    assert told.names() == []


def test_the_end_that_a_dead_driver_may_have_told_is_the_same_event(tmp_path, told: Told):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=1)
    result = run(shop, told)
    events = ExperimentEvents(shop.url, OBJECTIVE, constants={}, emit=told, clock=Clock())
    events.end_is_news = True  # its tables are missing
    with events.ending(shop.run(), result):
        pass

    first, second = told.of("experiment.finished")
    assert first.id == second.id


def test_late_and_double_news_of_a_worker_is_none(told: Told):
    events = ExperimentEvents("/e", OBJECTIVE, constants={}, emit=told, clock=Clock())
    state = ExperimentState()

    def step(*records: Any) -> None:
        for record in records:
            state.apply(record)
        events.on_step(state, Step(records, ()))

    step(DriverStarted(1, 0.0), TrialSuggested("t", {}), TrialLaunched("t", 1, None))
    step(TrialPaused("t", 1), TrialLaunched("t", 2, None))
    step(TrialPaused("t", 1))
    step(TrialCompleted("t", 1, "done"))
    step(TrialCompleted("t", 2, "done"), TrialCompleted("t", 2, "done"))
    step(DriverStopped(1.0, "cancelled"))

    assert told.names() == [
        "experiment.started",
        "trial.started",
        "trial.paused",
        "trial.resumed",
        "trial.terminated",
        "experiment.stopped",
    ]


def test_an_api_that_takes_nothing_is_no_reason_to_end(tmp_path, caplog):
    def refuse(*args: Any, **options: Any) -> None:
        raise RuntimeError("gone")

    run(SimulatedExperiment(f"{tmp_path}/e", num_samples=1), refuse)

    assert "could not be sent: gone" in caplog.text


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        ("s3://bucket/data/train.parquet", "s3://bucket/data/train.parquet"),
        ("/data/train.parquet", "file:///data/train.parquet"),
        ("train.parquet", None),
        ("s3://key:secret@bucket/train.parquet", None),
        ("https://host/train.parquet?signature=secret", None),
        ("/", None),
        ("://", None),
        ("http://[", None),
        (7, None),
    ],
)
def test_data_is_what_the_space_names(told: Told, constant: object, expected: str | None):
    events = ExperimentEvents("/e", OBJECTIVE, constants={"data": constant}, emit=told, clock=Clock())
    events.end_is_news = True
    state = ExperimentState()
    with events.ending(state, tune_result("/e", state, OBJECTIVE)):
        pass

    assert [related.id for related in told.events[0].related] == ([expected] if expected else [])


def test_large_things_stay_where_they_are(tmp_path, told: Told):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=1, space={"x": 0.5, "table": ["word"] * 10_000})
    run(shop, told)

    assert told.of("trial.terminated")[0].payload["config"] is None
    finished = told.events[-1]
    assert finished.payload["best_config"] is None
    assert TuneResult.model_validate(finished.payload["result"]).best_value == pytest.approx(4.5)
    assert max(event.size_bytes for event in told.events) < 10_000
