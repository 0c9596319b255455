import math
from collections import Counter

import numpy as np
import pytest

from tests.schedulers.drive import ready, report, result, trial
from tune_flows.core.decisions import CONTINUE, STOP
from tune_flows.core.errors import InvalidParameter
from tune_flows.schedulers import ASHAScheduler, parse_scheduler
from tune_flows.schedulers.asha import _percentile  # pyright: ignore[reportPrivateUsage]


def test_rungs_are_powers_of_the_reduction_factor_also_where_logarithms_round_down() -> None:
    assert ASHAScheduler(max_t=243, reduction_factor=3).rungs(0) == (1, 3, 9, 27, 81, 243)
    assert ASHAScheduler(max_t=1000, reduction_factor=10).rungs(0) == (1, 10, 100, 1000)
    assert ASHAScheduler(max_t=100, grace_period=2, reduction_factor=2.5).rungs(0) == (2, 5, 13, 32, 79)
    scheduler = ASHAScheduler(max_t=81, reduction_factor=3, brackets=3)
    assert [scheduler.rungs(bracket) for bracket in range(3)] == [
        (1, 3, 9, 27, 81),
        (3, 9, 27, 81),
        (9, 27, 81),
    ]


def test_the_first_at_a_rung_goes_on_and_a_later_one_stops_below_the_percentile() -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3), *"abcdef")
    assert report(scheduler, "a", 1, 10.0) == CONTINUE
    assert report(scheduler, "b", 1, 5.0) == STOP  # [10]: cutoff 10
    assert report(scheduler, "c", 1, 10.0) == CONTINUE  # [5, 10]: 5 + 2/3 * 5
    assert report(scheduler, "d", 1, 9.9) == STOP  # [5, 10, 10]: 10
    assert report(scheduler, "e", 1, 10.0) == CONTINUE  # [5, 9.9, 10, 10]: 10
    assert report(scheduler, "a", 3, 1.0) == CONTINUE  # first at rung 3
    assert report(scheduler, "c", 3, 0.5) == STOP
    assert report(scheduler, "e", 3, 2.0) == CONTINUE


def test_the_cutoff_is_interpolated() -> None:
    scheduler = ready(ASHAScheduler(max_t=16), *"abcdef")
    assert [
        report(scheduler, name, 1, score) for name, score in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)
    ] == [CONTINUE] * 4
    assert report(scheduler, "e", 1, 3.2) == STOP  # [1, 2, 3, 4]: 3.25
    assert report(scheduler, "f", 1, 3.2) == CONTINUE  # [1, 2, 3, 3.2, 4]: 3.2


def test_the_percentile_is_numpys() -> None:
    rng = np.random.default_rng(0)
    for size in range(1, 30):
        numbers = sorted(rng.normal(size=size).tolist())
        for share in (0.0, 0.5, 2 / 3, 0.75, 1.0):
            assert _percentile(numbers, share) == pytest.approx(np.percentile(numbers, share * 100))


def test_min_mode_stops_the_larger_one() -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3), "a", "b", "c", mode="min")
    assert [report(scheduler, *step) for step in (("a", 1, 1.0), ("b", 1, 2.0), ("c", 1, 0.5))] == [
        CONTINUE,
        STOP,
        CONTINUE,
    ]


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf, "high", True])
def test_what_is_no_finite_number_is_never_recorded_and_stops_its_trial(bad: object) -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3), *"abcd")
    assert report(scheduler, "a", 1, bad) == CONTINUE  # nothing to compare with
    assert report(scheduler, "b", 1, -1e300) == CONTINUE  # still the first one recorded
    assert report(scheduler, "c", 1, bad) == STOP
    assert report(scheduler, "d", 1, -1e300) == CONTINUE


def test_a_missing_metric_postpones_the_judgement() -> None:
    scheduler = ready(ASHAScheduler(max_t=27, reduction_factor=3), "a", "b")
    assert report(scheduler, "a", 1, 1.0) == CONTINUE
    assert report(scheduler, "b", 1) == CONTINUE
    assert scheduler.next_decision(trial("b", 1)) == 2
    assert report(scheduler, "b", 2, 0.5) == STOP


def test_it_asks_for_a_say_at_rungs_and_at_max_t_only() -> None:
    scheduler = ready(ASHAScheduler(max_t=20, reduction_factor=3), "a")
    asked = []
    iteration = 0
    while iteration < 20:
        iteration = scheduler.next_decision(trial("a", iteration))
        asked.append((iteration, report(scheduler, "a", iteration, 1.0)))
    assert asked == [(1, CONTINUE), (3, CONTINUE), (9, CONTINUE), (20, STOP)]


def test_without_stop_last_trials_the_last_rung_still_cuts_and_then_nobody_is_asked() -> None:
    scheduler = ready(ASHAScheduler(max_t=3, reduction_factor=3, stop_last_trials=False), "a", "b")
    for iteration in (1, 3):
        assert report(scheduler, "a", iteration, 1.0) == CONTINUE
    assert scheduler.next_decision(trial("a", 3)) is None
    assert report(scheduler, "b", 1, 1.0) == CONTINUE
    assert report(scheduler, "b", 3, 0.0) == STOP


def test_a_trial_that_ends_at_a_rung_is_recorded_there() -> None:
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3), "a", "b")
    scheduler.on_trial_complete(trial("a", 1, last_result=result(1, 5.0)))
    assert report(scheduler, "b", 1, 4.0) == STOP


def test_with_another_time_attr_a_trial_is_judged_at_the_highest_rung_it_has_reached() -> None:
    scheduler = ready(
        ASHAScheduler(time_attr="time_total_s", max_t=90, grace_period=10, reduction_factor=3), *"abc"
    )
    assert scheduler.next_decision(trial("a", 0)) == 1
    assert report(scheduler, "a", 4, 1.0) == CONTINUE  # 40 s: rung 30, rung 10 is passed over
    assert report(scheduler, "b", 1, 0.5) == CONTINUE  # 10 s: the first at rung 10
    assert report(scheduler, "b", 3, 0.5) == STOP
    assert report(scheduler, "c", 9, 2.0) == STOP  # max_t


def test_a_time_attr_that_is_not_reported_decides_nothing() -> None:
    scheduler = ready(ASHAScheduler(time_attr="epoch", max_t=9), "a")
    assert report(scheduler, "a", 50, 1.0) == CONTINUE
    assert report(scheduler, "a", 51, 1.0, epoch=math.nan) == CONTINUE
    assert report(scheduler, "a", 52, 1.0, epoch=9) == STOP


def test_brackets_are_drawn_with_softmax_weights_of_their_numbers_of_rungs() -> None:
    names = [str(number) for number in range(4000)]
    scheduler = ready(ASHAScheduler(max_t=9, reduction_factor=3, brackets=3), *names)
    counts = Counter(len(scheduler.rungs(0)) - scheduler.next_decision(trial(name)) for name in names)
    shares = [counts[3 - first] / 4000 for first in (1, 3, 9)]
    weights = np.exp([3, 2, 1])
    assert shares == pytest.approx(weights / weights.sum(), abs=0.03)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"grace_period": 101}, "grace_period"),
        ({"brackets": 5}, "brackets"),
        ({"reduction_factor": 1}, "reduction_factor"),
        ({"max_t": 0}, "max_t"),
        ({"maxt": 3}, "maxt"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^ASHAScheduler.*{named}"):
        ASHAScheduler(**fields)
    with pytest.raises(InvalidParameter, match=rf"^scheduler.*{named}.*{next(iter(fields.values()))}"):
        parse_scheduler({"type": "asha", **fields})
