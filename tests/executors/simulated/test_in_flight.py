"""An interrupted simulation is carried on as if nothing had been."""

import pytest

from tests.executors.simulated.test_executor import launch, make, next_events, short
from tune_flows.core.commands import PauseTrial, StopTrial
from tune_flows.core.decisions import FaultJudged, TrialDecided, TrialLaunched, TrialOverruled, TrialSuggested
from tune_flows.core.events import (
    DriverStarted,
    FaultKind,
    ResultsReported,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.core.trial import Action, Result
from tune_flows.executors.simulated.in_flight import StepInFlight, steps_under_way


def carried_on(at, since, iteration, **options):
    return make(start_time=at, under_way={"t": StepInFlight(since, iteration)}, **options)


def test_the_next_result_comes_when_the_step_under_way_ends():
    executor = carried_on(10.5, 10.0, 3, step_time_s=lambda config, iteration: iteration * 1.0)
    executor.submit(launch(iteration=3, time_total_s=6.0, until=5))
    (event,) = next_events(executor)
    assert [(r.iteration, r.timestamp, r.time_total_s) for r in event.results] == [(4, 14.0, 10.0)]
    assert short(next_events(executor)) == [("t", 5, "waits")]
    assert executor.now() == 19.0


def test_only_the_first_launch_is_carried_on():
    executor = carried_on(10.5, 10.0, 1)
    executor.submit(launch(iteration=1, until=2))
    assert short(next_events(executor)) == [("t", 2, "waits")]
    executor.submit(PauseTrial("t", 1, save=False))
    next_events(executor)
    executor.submit(launch(iteration=2, lease=2, until=3))
    assert short(next_events(executor)) == [("t", 3, "waits")]
    assert executor.now() == 14.0  # from scratch


def test_steps_that_were_not_handed_out_are_taken_at_their_time():
    executor = carried_on(12.5, 10.0, 1, batch_steps=4)
    executor.submit(launch(iteration=1))
    (event,) = next_events(executor)
    assert [(r.iteration, r.timestamp) for r in event.results] == [(2, 11.0), (3, 12.0), (4, 13.0), (5, 14.0)]
    assert executor.now() == 14.0


def test_the_last_checkpoint_that_a_stopped_trial_owes_takes_no_time():
    executor = carried_on(10.0, 10.0, 3, checkpoint_at_end=True)
    executor.submit(launch(iteration=3, until=3))
    assert short(next_events(executor)) == [("t", "waits")]
    executor.submit(StopTrial("t", 1, "stopped"))
    assert short(next_events(executor))[0] == ("t", "saved", 3)
    assert executor.now() == 10.0


def test_an_order_at_once_finds_the_trial_where_it_stood():
    executor = carried_on(10.0, 10.0, 3)
    executor.submit(launch(iteration=3))
    executor.submit(PauseTrial("t", 1))
    assert short(next_events(executor)) == [("t", "saved", 3), TrialPaused("t", 1)]
    assert executor.now() == 10.0


SUGGESTED = (0.0, [DriverStarted(1, 0.0), TrialSuggested("t", {}), TrialLaunched("t", 1, None)])
ONE = (2.0, [ResultsReported("t", 1, (Result(1, {}, 1.5, 1.5, timestamp=1.5),))])
AGAIN = (3.0, [DriverStarted(2, 3.0), TrialLaunched("t", 2, None)])


@pytest.mark.parametrize(
    ("history", "step"),
    [
        ([], None),
        ([SUGGESTED], StepInFlight(0.0, 0)),
        ([SUGGESTED, AGAIN], StepInFlight(0.0, 0)),
        ([SUGGESTED, ONE], StepInFlight(1.5, 1)),
        ([SUGGESTED, ONE, AGAIN, (4.0, [DriverStarted(3, 4.0)])], StepInFlight(1.5, 1)),
        ([SUGGESTED, ONE, (2.0, [TrialDecided("t", 1, Action.PAUSE)])], None),
        ([SUGGESTED, ONE, (2.0, [TrialDecided("t", 1, Action.STOP)])], StepInFlight(1.5, 1)),
        (
            [
                (0.0, [*SUGGESTED[1], TrialOverruled("t", Action.PAUSE, "")]),
                (2.0, [TrialPaused("t", 1), TrialLaunched("t", 2, None)]),
            ],
            StepInFlight(2.0, 0),
        ),
        (
            [
                SUGGESTED,
                ONE,
                (2.5, [TrialFaulted("t", 1, FaultKind.TRAINABLE, ""), FaultJudged("t", retry=True)]),
                AGAIN,
            ],
            StepInFlight(3.0, 0),
        ),
    ],
)
def test_a_step_begins_with_the_result_or_the_launch_before_it(history, step):
    assert steps_under_way(history) == ({} if step is None else {"t": step})
