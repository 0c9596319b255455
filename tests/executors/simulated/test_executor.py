import asyncio
import math
from dataclasses import asdict

import pytest

from tests.trainable.samples import Counter, FullStorage
from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.errors import InfrastructureError, InvalidParameter, InvalidTransition, RestoreError
from tune_flows.core.events import (
    CheckpointSaved,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.trainable import report


def launch(trial_id="t", *, lease=1, until=None, **fields):
    defaults = {
        "config": {},
        "iteration": 0,
        "time_total_s": 0.0,
        "save_at": None,
        "checkpoint": None,
    }
    return LaunchSegment(trial_id=trial_id, lease=lease, until=until, **(defaults | fields))


def make(trainable=Counter, *, slots=2, **options):
    return SimulatedExecutor(trainable, slots=slots, **options)


def next_events(executor):
    return asyncio.run(executor.next_events())


def short(events):
    """Events as short as can be compared: ("t", 1, 2, "waits") for results, else the event."""
    shown = []
    for event in events:
        if isinstance(event, ResultsReported):
            story = (event.trial_id, *(r.iteration for r in event.results))
            shown.append((*story, "waits") if event.waits else story)
        elif isinstance(event, CheckpointSaved):
            shown.append((event.trial_id, "saved", event.checkpoint.iteration))
        else:
            shown.append(event)
    return shown


def test_start_tells_the_slots():
    assert asyncio.run(make(slots=3).start()) == 3


def test_results_come_at_the_virtual_time_of_their_step():
    executor = make(step_time_s=lambda config, iteration: config["s"] * iteration, start_time=100.0)
    executor.submit(launch("b", until=2, config={"s": 2.0}))
    executor.submit(launch("a", until=3, config={"s": 1.0}))

    seen = []
    for _ in range(4):
        events = next_events(executor)
        seen.append((executor.now(), short(events)))
    assert seen == [
        (101.0, [("a", 1)]),
        (102.0, [("b", 1)]),
        (103.0, [("a", 2)]),
        (106.0, [("a", 3, "waits"), ("b", 2, "waits")]),
    ]
    result = events[0].results[0]
    assert (result.time_this_iter_s, result.time_total_s, result.timestamp) == (3.0, 6.0, 106.0)


def test_free_running_results_come_in_batches_but_decision_points_in_time():
    executor = make(batch_steps=3)
    executor.submit(launch(until=5))

    assert (short(next_events(executor)), executor.now()) == ([("t", 1, 2, 3)], 3.0)
    assert (short(next_events(executor)), executor.now()) == ([("t", 4, 5, "waits")], 5.0)


def test_stop_criteria_use_virtual_time():
    executor = make(stop={"time_total_s": 30}, step_time_s=10, batch_steps=99, checkpoint_at_end=True)
    executor.submit(launch())

    assert short(next_events(executor)) == [
        ("t", 1, 2),
        ("t", "saved", 3),
        ("t", 3),
        TrialCompleted("t", 1, "stop: time_total_s >= 30"),
    ]


def test_continue_goes_on_after_the_decision():
    executor = make()
    executor.submit(launch(until=1))
    next_events(executor)
    executor.submit(ContinueTrial("t", 1, 2, None))

    assert short(next_events(executor)) == [("t", 2, "waits")]


def test_save_at_then_pause_and_resume_elsewhere():
    executor = make(slots=1)
    executor.submit(launch(until=2, save_at=2))
    next_events(executor)
    events = next_events(executor)
    assert short(events) == [("t", "saved", 2), ("t", 2, "waits")]
    executor.submit(PauseTrial("t", 1, save=False))
    assert next_events(executor) == [TrialPaused("t", 1)]
    assert executor.now() == 2.0

    executor.submit(launch("u", until=1))
    next_events(executor)
    executor.submit(StopTrial("u", 1, "why"))
    assert next_events(executor) == [TrialCompleted("u", 1, "why")]

    executor.submit(launch(lease=2, until=3, iteration=2, time_total_s=2.0, checkpoint=events[0].checkpoint))
    (event,) = next_events(executor)
    assert (event.results[0].iteration, event.results[0].metrics) == (3, {"count": 3})
    assert event.results[0].time_total_s == 3.0


ORDERS = [
    (PauseTrial("t", 1), TrialPaused("t", 1)),
    (StopTrial("t", 1, "why"), TrialCompleted("t", 1, "why")),
]


@pytest.mark.parametrize(("order", "end"), ORDERS)
def test_an_order_between_two_steps_is_obeyed_at_once(order, end):
    executor = make(checkpoint_at_end=True)
    executor.submit(launch())
    next_events(executor)
    executor.submit(order)

    assert short(next_events(executor)) == [("t", "saved", 1), end]
    assert executor.now() == 1.0


@pytest.mark.parametrize(("order", "end"), ORDERS)
def test_an_order_within_a_step_is_obeyed_after_it(order, end):
    executor = make(step_time_s=lambda config, iteration: config.get("s", 2), checkpoint_at_end=True)
    executor.submit(launch())
    executor.submit(launch("z", config={"s": 3}, until=1))
    next_events(executor)
    next_events(executor)
    assert executor.now() == 3.0  # "t" is half way to its second result
    executor.submit(order)

    assert short(next_events(executor)) == [("t", "saved", 2), ("t", 2), end]
    assert executor.now() == 4.0


def test_orders_deliver_what_was_held_back():
    executor = make(batch_steps=100)
    executor.submit(launch())
    executor.submit(launch("u", until=3))
    next_events(executor)
    executor.submit(StopTrial("t", 1, "why"))

    assert short(next_events(executor)) == [("t", 1, 2, 3), TrialCompleted("t", 1, "why")]


def test_an_order_to_a_trial_that_has_not_begun():
    executor = make()
    executor.submit(launch())
    executor.submit(StopTrial("t", 1, "why"))

    assert next_events(executor) == [TrialCompleted("t", 1, "why")]
    assert executor.now() == 0.0


def test_a_trial_that_ends_by_itself_does_not_hear_of_the_order():
    executor = make(step_time_s=lambda config, iteration: config.get("s", 2))
    executor.submit(launch(config={"done_at": 1}))
    executor.submit(launch("z", config={"s": 1}, until=1))
    next_events(executor)
    executor.submit(PauseTrial("t", 1))

    assert short(next_events(executor)) == [("t", 1), TrialCompleted("t", 1, "done")]


def test_stop_saves_at_the_end_where_configured():
    executor = make(checkpoint_at_end=True)
    executor.submit(launch(until=1))
    next_events(executor)
    executor.submit(StopTrial("t", 1, "why"))

    assert short(next_events(executor)) == [("t", "saved", 1), TrialCompleted("t", 1, "why")]


def test_an_older_checkpoint_costs_the_time_of_catching_up():
    executor = make(checkpoint_frequency=2)
    executor.submit(launch(until=3))
    next_events(executor)
    checkpoint = next_events(executor)[0].checkpoint
    next_events(executor)
    executor.submit(StopTrial("t", 1, ""))
    next_events(executor)
    executor.submit(launch(lease=2, until=6, iteration=4, time_total_s=4.0, checkpoint=checkpoint))
    events = next_events(executor)

    assert executor.now() == 6.0  # iterations 3, 4, 5
    assert short(events) == [("t", "saved", 4), ("t", 5)]
    assert events[1].results[0].time_total_s == 5.0


def test_a_launch_up_to_the_known_iteration_waits_there():
    executor = make()
    executor.submit(launch(until=2, iteration=2, save_at=2))

    assert short(next_events(executor)) == [("t", "saved", 2), ("t", "waits")]


def test_exploit_goes_on_as_the_other():
    executor = make(step_time_s=lambda config, iteration: config.get("s", 1))
    executor.submit(launch(until=1))
    executor.submit(launch("u", until=4, save_at=4))
    for _ in range(3):
        next_events(executor)
    source = next_events(executor)[0].checkpoint
    executor.submit(ContinueTrial("t", 1, 2, None, {"s": 5}, source))
    (event,) = next_events(executor)

    assert (event.results[0].iteration, event.results[0].metrics, executor.now()) == (2, {"count": 5}, 9.0)


def test_a_function_runs_as_well():
    def train(config):
        for i in range(2):
            report({"i": i})
        return {"i": 9}

    executor = make(train, batch_steps=100)
    executor.submit(launch())
    executor.submit(launch("u", until=1))

    assert short(next_events(executor)) == [("u", 1, "waits")]
    executor.submit(StopTrial("u", 1, "why"))
    next_events(executor)
    events = next_events(executor)
    assert short(events) == [("t", 1, 2, 3), TrialCompleted("t", 1, "returned")]
    assert [(r.metrics["i"], r.timestamp, r.time_total_s) for r in events[0].results] == [
        (0, 1.0, 1.0),
        (1, 2.0, 2.0),
        (9, 3.0, 3.0),
    ]


def test_a_fault_of_the_trainable_frees_the_slot():
    executor = make(slots=1, batch_steps=9)
    executor.submit(launch(config={"fail_at": 2}))
    reported, fault = next_events(executor)

    assert short([reported]) == [("t", 1)]
    assert (fault.kind, fault.message, fault.lease) == (FaultKind.TRAINABLE, "ValueError: boom", 1)
    assert fault.traceback.startswith("Traceback")
    executor.submit(launch(lease=2, until=1))
    assert short(next_events(executor)) == [("t", 1, "waits")]


def test_a_fault_of_the_storage_is_infrastructure():
    executor = make(checkpoints=FullStorage())
    executor.submit(launch(until=1, save_at=1))
    (fault,) = next_events(executor)

    assert isinstance(fault, TrialFaulted)
    assert (fault.kind, fault.traceback) == (FaultKind.INFRASTRUCTURE, "")
    assert "disk full" in fault.message


def test_a_checkpoint_that_cannot_be_fetched_is_told_apart():
    storage = MemoryCheckpoints()
    executor = make(checkpoints=storage)
    executor.submit(launch(until=1, save_at=1))
    checkpoint = next_events(executor)[0].checkpoint
    executor.submit(PauseTrial("t", 1, save=False))
    next_events(executor)
    storage.delete(asdict(checkpoint))
    executor.submit(launch(lease=2, until=2, iteration=1, checkpoint=checkpoint))
    (fault,) = next_events(executor)

    assert (fault.kind, fault.lease) == (FaultKind.RESTORE, 2)
    assert "deleted" in fault.message


@pytest.mark.parametrize(
    ("injected", "kind"),
    [
        (InfrastructureError("node gone"), FaultKind.INFRASTRUCTURE),
        (RestoreError("torn"), FaultKind.RESTORE),
        (ValueError("x"), FaultKind.TRAINABLE),
    ],
)
def test_injected_faults(injected, kind):
    def fault(trial_id, lease, iteration):
        return injected if (trial_id, lease, iteration) == ("t", 1, 2) else None

    executor = make(fault=fault)
    executor.submit(launch(until=2))
    assert short(next_events(executor)) == [("t", 1)]
    (event,) = next_events(executor)
    assert (event.kind, executor.now()) == (kind, 2.0)
    executor.submit(launch(lease=2, until=2, iteration=1))
    assert short(next_events(executor)) == [("t", 2, "waits")]


def test_more_trials_than_slots_are_refused():
    executor = make(slots=1)
    executor.submit(launch())

    with pytest.raises(InvalidTransition, match=r"1 of 1 slots taken.*t, lease 1, trains at iteration 0"):
        executor.submit(launch("u"))
    next_events(executor)


def test_a_launch_of_a_trial_that_runs_is_refused():
    executor = make()
    executor.submit(launch())
    with pytest.raises(InvalidTransition, match="no lease of the same trial"):
        executor.submit(launch(lease=2))


def test_continue_of_a_trial_that_trains_is_refused():
    executor = make()
    executor.submit(launch())
    with pytest.raises(InvalidTransition, match="expected a trial that waits"):
        executor.submit(ContinueTrial("t", 1, 2, None))


def test_orders_for_a_lease_that_is_over_are_void():
    executor = make()
    executor.submit(launch(lease=2, until=1))
    for stale in (
        ContinueTrial("t", 1, 2, None),
        PauseTrial("t", 1),
        StopTrial("t", 1, ""),
        PauseTrial("u", 1),
    ):
        executor.submit(stale)

    assert short(next_events(executor)) == [("t", 1, "waits")]


def test_waiting_for_nothing_is_an_error():
    executor = make()
    with pytest.raises(InvalidTransition, match="no trial holds a worker"):
        next_events(executor)
    executor.submit(launch(until=1))
    next_events(executor)
    with pytest.raises(InvalidTransition, match="t, lease 1, waits at iteration 1"):
        next_events(executor)


@pytest.mark.parametrize("seconds", [0, -1.0, math.inf, math.nan])
def test_time_must_pass(seconds):
    with pytest.raises(InvalidParameter, match="step_time_s"):
        make(step_time_s=seconds).submit(launch())


@pytest.mark.parametrize("options", [{"slots": 0}, {"batch_steps": 0}])
def test_bad_options(options):
    with pytest.raises(InvalidParameter, match="1 or more"):
        make(**options)


def test_shutdown_cleans_up(monkeypatch):
    monkeypatch.setattr(Counter, "ended", [])
    executor = make()
    executor.submit(launch(until=1))
    next_events(executor)
    asyncio.run(executor.shutdown())
    asyncio.run(executor.shutdown())

    assert Counter.ended == ["t"]


def test_memory_checkpoints_keep_folders_and_forget(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("x")
    (tmp_path / "d").write_text("yz")
    storage = MemoryCheckpoints()
    ref = storage.save("t", 1, tmp_path, lease=1)
    storage.restore(ref, tmp_path / "new")

    assert ref["size_bytes"] == 3
    assert (tmp_path / "new" / "a" / "b" / "c").read_text() == "x"
    storage.delete(ref)
    storage.delete(ref)
    with pytest.raises(InfrastructureError, match="deleted"):
        storage.restore(ref, tmp_path / "newer")
