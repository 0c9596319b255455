import math
from collections import Counter

import pytest

from tests.schedulers.drive import ready, report, trial
from tune_flows.core.decisions import CONTINUE, PAUSE, STOP
from tune_flows.core.space import ParamSpace, uniform
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.schedulers import HyperBandScheduler
from tune_flows.search import RandomSearch
from tune_flows.testing.scripted_run import Script, scripted_run

# n_i and r_i of Algorithm 1 in arXiv:1603.06560 for R = 81 and eta = 3, by bracket s
PAPER = {
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}


@pytest.mark.parametrize("s", PAPER)
def test_brackets_are_those_of_the_paper(s: int) -> None:
    scheduler = HyperBandScheduler()
    size = scheduler.bracket_size(s)
    sizes = [size, *(scheduler.kept(size, stage) for stage in range(s))]
    assert list(zip(sizes, scheduler.milestones(s), strict=True)) == PAPER[s]


def test_milestones_end_at_max_t_also_when_it_is_no_power_of_the_factor() -> None:
    scheduler = HyperBandScheduler(max_t=100)
    assert [scheduler.milestones(s) for s in range(scheduler.s_max, -1, -1)] == [
        (1, 3, 11, 33, 100),
        (3, 11, 33, 100),
        (11, 33, 100),
        (33, 100),
        (100,),
    ]
    assert HyperBandScheduler(max_t=1).milestones(0) == (1,)


def test_a_whole_round_trains_as_many_trials_as_the_paper_says() -> None:
    script = Script(
        space=ParamSpace.parse({"x": uniform(0, 1)}),
        metrics=lambda config, iteration: {"score": config["x"]},
        trials=sum(bracket[0][0] for bracket in PAPER.values()),
        slots=8,
        length=1000,
    )
    trials = scripted_run(RandomSearch(), HyperBandScheduler(), script).trials.values()
    expected: Counter[int] = Counter()
    for bracket in PAPER.values():
        for (count, iterations), (kept, _) in zip(bracket, [*bracket[1:], (0, 0)], strict=True):
            expected[iterations] += count - kept
    assert Counter(trial.iteration for trial in trials) == expected


def full_bracket() -> HyperBandScheduler:
    return ready(HyperBandScheduler(max_t=9), *"abcdefghi")  # n = 9, milestones 1, 3, 9


def test_trials_pause_at_the_milestone_and_the_last_one_halves_the_bracket() -> None:
    scheduler = full_bracket()
    assert {scheduler.next_decision(trial(name)) for name in "abcdefghi"} == {1}
    assert [report(scheduler, name, 1, score) for score, name in enumerate("abcdefgh")] == [PAUSE] * 8
    assert scheduler.pending_decisions() == {}
    assert report(scheduler, "i", 1, 6.5) == CONTINUE  # third of h 7, i 6.5, g 6
    assert scheduler.pending_decisions() == dict.fromkeys("abcdef", STOP)
    assert {scheduler.next_decision(trial(name, 1)) for name in "ghi"} == {3}


def test_the_last_one_stops_at_once_when_it_is_bad() -> None:
    scheduler = full_bracket()
    for score, name in enumerate("abcdefgh"):
        report(scheduler, name, 1, score)
    assert report(scheduler, "i", 1, -1) == STOP
    scheduler.on_trial_complete(trial("i", 1))
    assert scheduler.pending_decisions() == dict.fromkeys("abcde", STOP)


def test_losers_are_named_until_they_have_ended_and_are_never_chosen() -> None:
    scheduler = full_bracket()
    for score, name in enumerate("abcdefghi"):
        report(scheduler, name, 1, score)
    paused = [Trial(name, {}, TrialStatus.PAUSED, 1) for name in "abcdefghi"]
    assert scheduler.choose_trial_to_run(paused) == "g"
    for name in "abcde":
        scheduler.on_trial_complete(trial(name, 1))
    assert scheduler.pending_decisions() == {"f": STOP}
    assert scheduler.choose_trial_to_run(paused[5:6]) is None


def test_waiting_trials_are_not_chosen_and_older_brackets_go_first() -> None:
    scheduler = full_bracket()
    report(scheduler, "a", 1, 1.0)
    waiting, new = Trial("a", {}, TrialStatus.PAUSED, 1), Trial("j", {})
    assert scheduler.choose_trial_to_run([waiting]) is None
    scheduler.on_trial_add(new)  # the ninth filled the first bracket, this one opens the second
    assert scheduler.next_decision(new) == 3
    assert scheduler.choose_trial_to_run([waiting, new]) == "j"
    assert scheduler.choose_trial_to_run([new, Trial("b", {})]) == "b"


def test_an_open_bracket_waits_until_no_new_trials_come() -> None:
    scheduler = ready(HyperBandScheduler(max_t=9), "a", "b", "c")
    assert [report(scheduler, name, 1, score) for score, name in enumerate("abc")] == [PAUSE] * 3
    scheduler.on_no_new_trials()
    scheduler.on_no_new_trials()
    assert scheduler.pending_decisions() == {"a": STOP, "b": STOP}  # 3 // 3 = 1 goes on
    assert scheduler.choose_trial_to_run([Trial("c", {}, TrialStatus.PAUSED, 1)]) == "c"
    assert scheduler.next_decision(trial("c", 1)) == 3


def test_lost_and_finished_trials_leave_their_bracket() -> None:
    scheduler = full_bracket()
    for score, name in enumerate("abcdefg"):
        report(scheduler, name, 1, score)
    scheduler.on_trial_error(trial("h"), final=False)
    assert scheduler.pending_decisions() == {}
    scheduler.on_trial_error(trial("h"), final=True)
    scheduler.on_trial_complete(trial("i"))
    assert scheduler.pending_decisions() == dict.fromkeys("abcd", STOP)  # 9 // 3 of the rest go on


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "text"])
def test_only_finite_scores_go_on(bad: object) -> None:
    scheduler = full_bracket()
    decisions = [report(scheduler, name, 1, bad if name in "bcdefghi" else -5.0) for name in "abcdefghi"]
    assert decisions == [PAUSE] * 8 + [STOP]
    assert set(scheduler.pending_decisions()) == set("bcdefghi")


def test_a_bracket_without_a_finite_score_is_forgotten() -> None:
    scheduler = full_bracket()
    for name in "abcdefghi":
        report(scheduler, name, 1, math.nan)
    for name in scheduler.pending_decisions():
        scheduler.on_trial_complete(trial(name, 1))
    assert not scheduler.pending_decisions()
    scheduler.on_trial_add(trial("j"))
    assert [bracket["members"] for bracket in scheduler.dump_state()["_brackets"].values()] == [["j"]]


def test_of_equal_scores_the_older_trial_goes_on_whoever_came_first() -> None:
    scheduler = full_bracket()
    for name in "ihgfedcba":
        report(scheduler, name, 1, 1.0)
    assert set(scheduler.pending_decisions()) == set("defghi")


def test_a_missing_metric_postpones_the_milestone_but_not_max_t() -> None:
    scheduler = full_bracket()
    assert report(scheduler, "a", 1) == CONTINUE
    assert scheduler.next_decision(trial("a", 1)) == 2
    assert report(scheduler, "a", 2, 1.0) == PAUSE
    assert report(scheduler, "b", 9) == STOP


def test_without_stop_last_trials_nobody_is_asked_after_max_t() -> None:
    scheduler = ready(HyperBandScheduler(max_t=1, stop_last_trials=False), "a")
    assert report(scheduler, "a", 1, 1.0) == CONTINUE
    assert scheduler.next_decision(trial("a", 1)) is None
    assert scheduler.choose_trial_to_run([Trial("a", {})]) == "a"
