"""The commands that only look: their answers for people and for programs, and how they fail."""

import gc
import subprocess
import sys
from io import BytesIO, StringIO
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Call, taken_over
from tests.experiment.simulated_experiment import Curve, SimulatedExperiment
from tests.experiment.test_stopping import run_and_stop
from tests.s3_server import s3, s3_url  # noqa: F401
from tune_flows import ExperimentNotFound, ExperimentView, open_experiment
from tune_flows.cli import main
from tune_flows.store.control_files import SESSION_KEY


class Misleading(Curve):
    """Its metrics are called like what is shown beside them."""

    def step(self):
        return dict.fromkeys(("trial", "checkpoint", "CONFIG"), super().step()["score"])


STATES = {
    "ended": "ended",
    "many": "ended",
    "new": "new",
    "odd": "ended",
    "running": "running",
    "silent": "silent",
    "stopped": "stopped",
}


def test_ls(call: Call, storage: Path):
    said = call("ls", storage)
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[0] == ["NAME", "STATE", "TRIALS", "BEST", "LAST", "CHANGE"]
    assert {row[0]: row[1] for row in rows[1:]} == STATES
    by_name = {row[0]: row[2:] for row in rows[1:]}
    best = open_experiment(storage / "ended").result().best_value
    assert by_name["ended"][:2] == ["6/6", f"score={best:.6g}"]
    assert by_name["new"] == ["-", "-", "never"]
    assert by_name["running"][-2:] in (["s", "ago"], ["min", "ago"])
    assert (said.code, said.err) == (0, "")


def test_ls_for_programs(call: Call, storage: Path):
    found = {one["name"]: one for one in call("ls", storage, "--json").json}
    assert {name: one["state"] for name, one in found.items()} == STATES
    ended = found["ended"]
    assert ended["url"] == f"{storage}/ended"
    assert ended["num_trials"] == {"PENDING": 0, "RUNNING": 0, "PAUSED": 0, "ERRORED": 1, "TERMINATED": 5}
    assert ended["best"]["trial_id"] == open_experiment(storage / "ended").best_trial.trial_id
    assert (found["new"]["best"], found["new"]["updated_at"]) == (None, None)


def test_ls_of_the_default_storage(call: Call, storage: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNE_FLOWS_STORAGE", str(storage))
    assert len(call("ls", "--json").json) == len(STATES)


def test_ls_of_an_experiment_is_itself(call: Call, storage: Path):
    assert [one["name"] for one in call("ls", storage / "ended", "--json").json] == ["ended"]


def test_ls_where_there_is_nothing(call: Call, storage: Path, tmp_path: Path):
    said = call("ls", storage / "notes")
    assert (said.code, said.out) == (0, "")
    assert "no experiments in" in said.err
    said = call("ls", tmp_path / "nowhere")
    assert said.code == 2
    assert "expected a folder that is there" in said.err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_ls_keeps_no_view_until_the_end(
    call: Call, storage: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
):
    def views() -> int:
        gc.collect()
        return sum(isinstance(one, ExperimentView) for one in gc.get_objects())

    before, left = views(), list[int]()
    for name in ("print_json", "show_all"):
        monkeypatch.setattr(f"tune_flows.cli.output.{name}", lambda what: left.append(views()))
    assert call("ls", storage, *options).code == 0
    assert left == [before]


def test_ls_goes_on_after_a_damaged_one(call: Call, tmp_path: Path):
    for name in ("good", "bad"):
        SimulatedExperiment(f"{tmp_path}/{name}", num_samples=1).run()
    (tmp_path / "bad" / "experiment.json").write_text("{}")
    said = call("ls", tmp_path)
    assert said.code == 1
    assert "bad/experiment.json" in said.err
    assert "good" in said.out


def test_show(call: Call, storage: Path):
    said = call("show", storage / "ended")
    assert said.code == 0
    head, table = said.out.split("\n\n")
    assert head.splitlines()[0] == f"{storage}/ended"
    assert "state    ended: all trials done" in head
    assert "trials   1 errored, 5 terminated of 6" in head
    best = open_experiment(storage / "ended").best_trial
    value = f"{best.metrics['score']:.6g}"
    assert f"best     score={value}  ({best.trial_id})" in head
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["TRIAL", "STATUS", "ITER", "score", "CONFIG", "NOTE"]
    assert rows[1][:5] == [best.trial_id, "TERMINATED", "9", value, f"x={best.config['x']:.4g}"]
    assert rows[-1][:2] == ["trial-00001", "ERRORED"]
    assert rows[-1][-1] == "boom"
    scores = [float(row[3]) for row in rows[1:-1]]
    assert scores == sorted(scores, reverse=True)
    assert "\x1b" not in said.out
    assert not any(line.endswith(" ") for line in said.out.splitlines())


@pytest.mark.parametrize("name", STATES)
def test_show_in_every_state(call: Call, storage: Path, name: str):
    said = call("show", storage / name)
    assert (said.code, said.err) == (0, "")
    assert f"state    {STATES[name]}" in said.out
    form = call("show", storage / name, "--json").json
    assert form["state"] == STATES[name]
    assert len(form["trials"]) == len(open_experiment(storage / name).trials)


def test_show_caps_the_table(call: Call, storage: Path):
    capped = call("show", storage / "many").out
    assert capped.splitlines()[-1] == "... and 10 more: --all shows them"
    assert capped.count("trial-0") == 21
    assert call("show", storage / "many", "--all").out.count("trial-0") == 31


def test_show_cuts_cells_and_not_what_identifies(call: Call, storage: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    best = open_experiment(storage / "ended").best_trial
    identifies = [best.trial_id, "TERMINATED", "9", f"{best.metrics['score']:.6g}"]
    lines = call("show", storage / "ended").out.splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.split()[:4] == identifies and line.endswith("…") for line in lines)


def test_show_says_who_drives(call: Call, tmp_path: Path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    experiment = shop.experiment()
    experiment._settings = {"ray_address": None}
    experiment.look()
    experiment.claim()[0].append([{"type": "DriverStarted", "epoch": 1, "at": 5.0}], at=5.0)
    assert "driver   process " in call("show", shop.url).out


def test_show_says_who_is_about_to_drive(call: Call, tmp_path: Path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    run_and_stop(shop, 12)
    assert "driver " not in call("show", shop.url).out
    taken_over(shop)
    assert "driver   process " in call("show", shop.url).out


@pytest.mark.parametrize("options", [[], ["--watch"]])
def test_show_does_without_a_note_that_is_damaged(call: Call, tmp_path: Path, options: list[str]):
    shop = SimulatedExperiment(f"{tmp_path}/e", num_samples=1)
    shop.run()
    (tmp_path / "e" / SESSION_KEY).write_bytes(b"")
    said = call("show", shop.url, *options)
    assert (said.code, said.err) == (0, "")


def test_a_metric_may_be_called_like_a_line_or_a_column(call: Call, tmp_path: Path):
    for metric in ("trial", "checkpoint", "CONFIG"):
        shop = SimulatedExperiment(f"{tmp_path}/{metric}", trainable=Misleading, metric=metric, num_samples=2)
        shop.run()
        best = open_experiment(shop.url).best_trial
        value = f"{best.metrics[metric]:.6g}"
        lines = [line.split(maxsplit=1) for line in call("best", shop.url).out.splitlines()]
        assert lines[:2] == [["trial", f"{best.trial_id}, iteration 9"], [metric, value]]
        assert lines[-1] == ["checkpoint", "none"]
        head, row = [line.split() for line in call("show", shop.url).out.split("\n\n")[1].splitlines()[:2]]
        assert head == ["TRIAL", "STATUS", "ITER", metric, "CONFIG", "NOTE"]
        assert row[3:5] == [value, f"x={best.config['x']:.4g}"]


def test_watch_of_what_has_ended_shows_it_and_ends(call: Call, storage: Path):
    said = call("show", storage / "ended", "--watch")
    assert said.code == 0
    assert said.out.startswith("ended: all trials done; 6/6 trials done (1 errored, 5 terminated); best")
    assert call("show", storage / "ended", "-w", "--json").json["state"] == "ended"


def test_best(call: Call, storage: Path):
    said = call("best", storage / "ended")
    assert said.code == 0
    best = open_experiment(storage / "ended").best_trial
    trial, value = [line.split(maxsplit=1)[1] for line in said.out.splitlines()[:2]]
    assert (trial, value) == (f"{best.trial_id}, iteration 9", f"{best.metrics['score']:.6g}")
    form = call("best", storage / "odd", "--json").json
    assert form["value"] == 1.0
    assert form["metrics"]["loss"] is None


def test_best_of_nothing_fails(call: Call, storage: Path):
    said = call("best", storage / "new", "--json")
    assert (said.code, said.json) == (1, None)
    assert "no trial has a value of 'score' yet" in said.err


def test_results(call: Call, storage: Path, tmp_path: Path):
    view = open_experiment(storage / "ended")
    expected = view.dataframe()
    pd.testing.assert_frame_equal(pd.read_csv(StringIO(call("results", storage / "ended").out)), expected)
    for name in ("r.csv", "r.parquet", "r.json"):
        said = call("results", storage / "ended", "-o", tmp_path / name)
        assert (said.code, said.out) == (0, "")
        assert said.err == f"{tmp_path / name}: {len(expected)} rows\n"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "r.parquet"), expected)
    rows = call("results", storage / "ended", "--json").json
    assert rows == expected.to_dict("records")
    trials = call("results", storage / "ended", "--trials", "--format", "json").json
    assert [row["status"] for row in trials] == view.trials_dataframe()["status"].tolist()


def test_results_as_parquet_through_a_pipe(storage: Path):
    command = [sys.executable, "-m", "tune_flows", "results", str(storage / "odd"), "-f", "parquet"]
    frame = pd.read_parquet(BytesIO(subprocess.run(command, capture_output=True, check=True).stdout))
    pd.testing.assert_frame_equal(frame, open_experiment(storage / "odd").dataframe())


def test_results_have_no_nan_in_json(call: Call, storage: Path):
    rows = call("results", storage / "odd", "--json").json
    assert [row["score"] for row in rows].count(None) == 2
    assert all(row["loss"] is None for row in rows)


@pytest.mark.parametrize("suffix", [".html", ".svg"])
def test_plot(call: Call, storage: Path, tmp_path: Path, suffix: str):
    file = tmp_path / f"run{suffix}"
    said = call("plot", storage / "ended", "-o", file, "--json")
    assert (said.code, said.json["file"]) == (0, str(file))
    assert file.stat().st_size > 1000


WRONG = {
    "no experiment": (["show", "{storage}/endde"], "Some in {storage}: ended"),
    "no URL": (["show"], "URL requires an argument. See `tune-flows show --help`."),
    "no bucket": (["best", "s3://"], "a URL with a bucket"),
    "empty URL": (["show", ""], "where an experiment lies"),
    "no command": (["sho", "x"], 'Did you mean "show"?'),
    "no option": (["show", "{storage}/ended", "--watc"], "Did you mean --watch?"),
    "no number": (["show", "{storage}/ended", "--interval-s", "x"], "--interval-s"),
    "no interval": (["show", "{storage}/ended", "--interval-s", "0"], "from 0.1 to 3600"),
    "no format": (["results", "{storage}/ended", "--format", "xls"], "csv"),
    "no suffix": (["results", "{storage}/ended", "-o", "x.xls"], "ends in .csv, .parquet or .json"),
    "two formats": (["results", "{storage}/ended", "--format", "csv", "--json"], "beside --json"),
    "no kind": (["plot", "{storage}/ended", "-o", "x.svg", "--kind", "pie"], "kind"),
    "no picture": (["plot", "{storage}/ended", "-o", "x.bmp"], ".svg"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_line_and_exit_code_2(call: Call, storage: Path, case: str):
    arguments, expected = WRONG[case]
    said = call(*(one.format(storage=storage) for one in arguments))
    assert (said.code, said.out) == (2, "")
    assert expected.format(storage=storage) in said.err
    assert said.err.startswith("tune-flows: error: ")
    assert said.err.count("\n") == 1


def test_what_the_storage_refuses_is_exit_code_1(call: Call, storage: Path, s3_url: str):  # noqa: F811
    said = call("show", "s3://there-is-no-such-bucket/e")
    assert said.code == 1
    assert "the bucket does not exist" in said.err
    said = call("results", storage / "ended", "-o", storage / "nowhere" / "x.csv")
    assert said.code == 1
    assert "No such file" in said.err


def test_on_s3(call: Call, s3_url: str):  # noqa: F811
    SimulatedExperiment(f"{s3_url}/tuning/a", num_samples=1).run()
    SimulatedExperiment(f"{s3_url}/tuning/b", num_samples=1).run_and_die(5, durable=True)
    assert {one["name"]: one["state"] for one in call("ls", f"{s3_url}/tuning", "--json").json} == {
        "a": "ended",
        "b": "silent",
    }
    assert call("best", f"{s3_url}/tuning/a", "--json").json["trial_id"] == "trial-00000"


def test_debug_shows_the_traceback(storage: Path):
    with pytest.raises(ExperimentNotFound, match="no experiment"):
        main(["show", f"{storage}/nope", "--debug"])
