"""What the artifacts of a run say, without a server."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.experiment.simulated_experiment import SimulatedExperiment
from tune_flows.core.decisions import FaultJudged, TrialLaunched, TrialSuggested
from tune_flows.core.events import (
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialsReopened,
)
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace, choice, loguniform
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import CheckpointRef, Result, TrialStatus
from tune_flows.plots import axes_of
from tune_flows.runner.runner import Step
from tune_flows.tasks.observers.artifacts import artifact_key
from tune_flows.tasks.observers.artifacts.feed import Board
from tune_flows.tasks.observers.artifacts.markdown import cell, code, size_bytes, table
from tune_flows.tasks.observers.artifacts.report_markdown import story
from tune_flows.tasks.observers.artifacts.summary import Glance, Standing
from tune_flows.tasks.observers.artifacts.trial_rows import about_rows, trial_rows

SPACE = {"lr": loguniform(1e-4, 1e-1), "model": {"layers": choice([2, 4])}}
PAGE, TABLE = 480_000, 200_000
URL = "s3://bucket/e"


class Run:
    """An experiment of which a board is told."""

    def __init__(self, objective=None, space=SPACE):
        self.objective = objective or Objective("m")
        self.space = ParamSpace.parse(space)
        self.state, self.board = ExperimentState(), Board(self.objective)
        self._draws = np.random.default_rng(1)

    def step(self, *records):
        for record in records:
            self.state.apply(record)
        self.board.on_step(self.state, Step(records, ()))

    def begin(self, target=10):
        self.step(DriverStarted(1, 1000.0), ExperimentExtended(target))

    def trial(self, number, *values, ends="returned"):
        trial_id = f"trial-{number:05d}"
        self.step(TrialSuggested(trial_id, self.space.sample(self._draws)), TrialLaunched(trial_id, 1, None))
        metric = self.objective.metric or "other"
        reported = tuple(Result(n, {metric: v}, 1.0, float(n), 1000.0 + n) for n, v in enumerate(values, 1))
        if reported:
            self.step(ResultsReported(trial_id, 1, reported))
        if ends == "error":
            fault = TrialFaulted(trial_id, 1, FaultKind.TRAINABLE, "ValueError: a|b", "Traceback ...")
            self.step(fault, FaultJudged(trial_id, False))
        elif ends:
            self.step(TrialCompleted(trial_id, 1, ends))

    def glance(self, **standing):
        self.board.catch_up()
        now, trials, recorder = (
            replace(self.board.standing, **standing),
            self.board.trials,
            self.board.recorder,
        )
        return Glance("e", URL, self.objective, axes_of(self.space), now, trials, recorder)


@pytest.fixture
def run():
    run = Run()
    run.begin()
    run.trial(0, 0.1, 0.5)
    run.trial(1, 0.9, 0.7)
    run.trial(2, ends="error")
    run.trial(3, math.inf, ends=None)
    run.trial(4, 0.2, ends=None)
    return run


def test_the_board_knows_what_the_state_knows(run):
    assert run.board.catch_up()
    assert not run.board.catch_up()
    assert run.board.trials == run.state.trials
    run.step(DriverStopped(1100.0, "cancelled"))
    run.step(DriverStarted(2, 1200.0), TrialsReopened(("trial-00002",), restart=True))
    run.board.catch_up()
    assert run.board.trials == run.state.trials
    assert run.board.trials["trial-00003"].status is TrialStatus.PENDING


@pytest.mark.parametrize(
    "scheduler",
    [
        None,
        {"type": "hyperband", "max_t": 9},
        {"type": "pbt", "perturbation_interval": 3, "hyperparam_mutations": {"x": [0.1, 0.5]}},
    ],
)
def test_the_board_follows_whole_experiments(tmp_path, scheduler):
    board, differences = Board(Objective("score")), []

    class Compare:
        def on_step(self, state, step):
            board.on_step(state, step)
            board.catch_up()
            if board.trials != state.trials or list(board.trials) != list(state.trials):
                differences.append(step)

    shop = SimulatedExperiment(f"{tmp_path}/e", scheduler, observers=[Compare()])
    state = shop.run()
    assert differences == []
    assert board.standing == Standing.of(state)
    assert board.recorder.results == sum(trial.iteration for trial in state.trials.values())


def test_percentage_and_status(run):
    glance = run.glance()
    assert glance.percentage() == 30.0
    assert glance.status() == (
        "3 of 10 trials done (2 running, 1 errored, 2 terminated), 6 iterations, 00:00; running"
    )
    assert run.glance(time_budget_s=100.0, elapsed_s=75.5).percentage() == 75.5
    assert run.glance(time_budget_s=100.0, elapsed_s=4000.0).percentage() == 100.0
    unlimited = run.glance(target=None, elapsed_s=3723.0)
    assert unlimited.percentage() == 0.0
    assert unlimited.status().endswith("1:02:03; running")
    assert "of unlimited trials" in unlimited.status()
    assert run.glance(ended="nothing is left").percentage() == 100.0
    assert run.glance(stopped="cancelled").state == "stopped (cancelled), to be carried on"
    assert Run().glance().percentage() == 0.0


def test_a_run_that_its_driver_left_does_not_say_that_it_runs(run):
    run.board.left_by("ExperimentFenced")
    assert run.board.catch_up()
    assert run.glance().status().endswith("; not ended (ExperimentFenced)")
    assert run.glance(ended="nothing is left").state == "ended (nothing is left)"
    assert run.glance(stopped="cancelled").state == "stopped (cancelled), to be carried on"
    nothing = Run()
    nothing.board.left_by("ExperimentExists")
    assert not nothing.board.catch_up()


def test_rows(run):
    glance = run.glance()
    rows = trial_rows(glance, most_bytes=TABLE)
    assert [row["trial"][-1] for row in rows] == list("10432")
    best = rows[0]
    assert list(best) == ["trial", "status", "iteration", "m", "best m", "lr", "model/layers", "why"]
    assert (best["status"], best["iteration"], best["m"], best["best m"]) == ("TERMINATED", 2, 0.7, 0.9)
    assert best["lr"] == pytest.approx(glance.trials["trial-00001"].config["lr"], rel=1e-5)
    assert (rows[3]["m"], rows[3]["best m"], rows[3]["status"]) == ("inf", None, "RUNNING")
    assert (rows[4]["m"], rows[4]["why"]) == (None, "ValueError: a|b")
    assert f"The whole table is in `{URL}/trials.parquet`" in about_rows(glance, len(rows))


def test_the_best_and_the_running_ones_come_first_and_the_others_are_counted():
    run = Run()
    run.begin(10_000)
    for number in range(200):
        run.trial(number, number / 1000, ends=None if number % 20 == 0 else "returned")
    glance = run.glance()
    rows = trial_rows(glance, most_bytes=TABLE)
    numbers = [int(row["trial"][-5:]) for row in rows]
    assert numbers[:5] == [199, 198, 197, 196, 195]
    assert numbers[5:15] == list(range(0, 200, 20))
    assert numbers[15:] == [n for n in range(194, 100, -1) if n % 20][:35]
    assert "**150 more trials** are in" in about_rows(glance, len(rows))


def test_names_of_parameters_that_are_columns_already():
    space = {"trial": choice([1, 2]), "m": choice([3]), "best m": choice([4]), "why": choice([5])}
    run = Run(space=space)
    run.begin()
    run.trial(0, 0.5)
    (row,) = trial_rows(run.glance(), most_bytes=TABLE)
    assert len(row) == 10
    assert (row["m"], row["m "], row["best m "], row["why"], row["why "]) == (0.5, 3, 4, 5, "returned")


def test_the_page(run):
    saved = CheckpointRef("ckpt/trial-00001/x", 2, "0" * 64, 10, {"m": 0.7})
    run.step(TrialSuggested("t", {"lr": 0.01, "model": {"layers": 2}}), TrialLaunched("t", 1, None))
    run.step(CheckpointSaved("t", 1, saved), ResultsReported("t", 1, (Result(3, {"m": 0.8}, 1, 3, 1003.0),)))
    page = story(run.glance(), most_bytes=PAGE)
    assert "| **best** | `m` = `0.8` (`t`), largest is best |" in page
    assert "| `model/layers` | `2` |" in page
    assert "| `training_iteration` | `3` |" in page
    assert f"Checkpoint of iteration 2: `{URL}/ckpt/trial-00001/x`" in page
    assert "| `trial-00002` | `ValueError: a\\|b` |" in page
    assert re.findall(r"!\[([^]]*)\]\(data:image/svg\+xml;base64,", page) == [
        "Learning curves",
        "Best value so far",
        "Configurations",
        "Parameters and the metric",
    ]


def test_a_page_about_nothing_yet():
    run = Run()
    assert "| state | `running` |" in story(run.glance(), most_bytes=PAGE)
    run.begin()
    run.trial(0, ends=None)
    assert "![" not in story(run.glance(), most_bytes=PAGE)
    assert trial_rows(run.glance(), most_bytes=TABLE)[0]["m"] is None


def test_without_a_metric():
    run = Run(Objective(None))
    run.begin()
    run.trial(0, 0.5)
    page = story(run.glance(), most_bytes=PAGE)
    assert "best" not in page.lower()
    assert "m" not in trial_rows(run.glance(), most_bytes=TABLE)[0]


def test_everything_is_bounded_and_clean_whatever_it_holds():
    bad = 'x|y\n`z` <script> \ud800 \0 "' + "🙂" * 3000
    space = {f"{number} p|a\nr`🙂" * 20: choice([bad, bad * 2]) for number in range(60)}
    run = Run(Objective("m|\n"), space)
    run.begin(3000)
    for number in range(300):
        value = [math.nan, math.inf, -math.inf, 10**400, bad, None, [math.nan], 0.5][number % 8]
        run.trial(number, value, ends="error" if number % 3 else None)
    glance = run.glance()
    rows = trial_rows(glance, most_bytes=TABLE)
    text = json.dumps(rows, allow_nan=False)
    assert 0 < len(rows) <= 50
    assert len(text) <= TABLE
    text.encode()
    page = story(glance, most_bytes=PAGE)
    assert size_bytes(page) <= PAGE
    page.encode()
    assert all(line.count(" | ") == 1 for line in page.splitlines() if line.startswith("| `"))
    few = trial_rows(glance, most_bytes=5000)
    assert size_bytes(few) <= 5000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1234567891, "`0.123457`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a\r\n b\u2028c", "`a b c`"),
        (None, "`null`"),
        (True, "`true`"),
        ([1, {"a": math.inf}], '`[1, {"a": {"$float": "inf"}}]`'),
        (10**30, "`1.00000e+30`"),
        ("", ""),
    ],
)
def test_code(value, expected):
    assert code(value) == expected


def test_cells():
    values = [None, True, 1 / 3, 7, 2**60, math.nan, "a\nb", [1], 2.0]
    assert [cell(v, 20) for v in values] == [
        None,
        "true",
        0.333333,
        7,
        "1.15292e+18",
        "nan",
        "a b",
        "[1]",
        2.0,
    ]
    assert cell("x" * 30, 20) == "x" * 19 + "…"
    assert table(("a", "b"), [("`x|y`", "")]) == "| a | b |\n| --- | --- |\n| `x\\|y` |  |"


def test_keys():
    assert artifact_key("churn-nightly", "trials") == "churn-nightly-trials"
    assert artifact_key("churn-2026-11-23", "report") == "churn-2026-11-23-report"
    names = ["A-b", "a_b", "a--b", "a b", "-a-b", "日本", "../x", "a" * 300, "a" * 299, "_"]
    keys = [artifact_key(name, "trials") for name in names]
    assert len({*keys, artifact_key("a-b", "trials")}) == len(names) + 1
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) and len(key) < 80 for key in keys)
