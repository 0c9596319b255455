"""A look at an experiment from outside: while it runs, after its driver died, after its end."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from tests.docs_example import DOCS, blocks
from tests.experiment.simulated_experiment import EPOCH_S, SPACE, Silent, SimulatedExperiment
from tests.s3_server import s3, s3_url  # noqa: F401
from tune_flows import ExperimentNotFound, ExperimentView, InvalidParameter, open_experiment
from tune_flows.core.errors import CorruptJournalError, StorageError
from tune_flows.core.objective import Objective
from tune_flows.core.trial import TrialStatus
from tune_flows.results.tune_result import tune_result, write_tables
from tune_flows.store import ObjectStore
from tune_flows.store.control_files import SESSION_KEY


def everything_in(folder):
    """All that a writer would change."""
    return {
        (str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in [folder, *folder.rglob("*")]
    }


def boom(trial_id, lease, iteration):
    return ValueError("boom")


def test_of_an_experiment_that_has_ended(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", {"type": "hyperband", "max_t": 9})
    state = shop.run()
    write_tables(ObjectStore(shop.url))
    result = tune_result(shop.url, state, Objective("score"))
    view = open_experiment(shop.url)
    assert (view.url, view.name) == (shop.url, "e")
    assert (view.ended, view.is_finished, view.target) == ("all trials done", True, 6)
    assert view.trials == list(state.trials.values())
    assert view.num_trials == state.by_status()
    assert view.result() == result
    assert view.best_trial == state.trials[result.best_trial_id]
    assert (view.best_config, view.best_metrics) == (result.best_config, result.best_metrics)
    assert view.best_checkpoint == result.best_checkpoint is not None
    assert view.errors == {}
    pd.testing.assert_frame_equal(view.dataframe(), result.dataframe())
    pd.testing.assert_frame_equal(view.trials_dataframe(), result.trials_dataframe())


def test_what_it_is(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run()
    view = open_experiment(Path(shop.url))
    assert (view.metric, view.mode) == ("score", "max")
    assert view.spec.search_alg["seed"] == 5
    assert view.spec.param_space["model"] == SPACE["model"]
    assert view.spec.trainable == "tests.experiment.simulated_experiment:Curve"
    assert view.version
    assert abs((datetime.now(UTC) - view.created_at).total_seconds()) < 600
    assert (
        view.updated_at == datetime.fromtimestamp(shop.run().now, UTC) > datetime.fromtimestamp(EPOCH_S, UTC)
    )


class Watch:
    """Looks at the experiment after each step of its driver, through an old view and a new one."""

    def __init__(self, shop):
        self.shop = shop
        self.steps = 0
        self.rows = []
        self.view: ExperimentView

    def on_step(self, state, step):
        self.view = self.view.refresh() if self.steps else open_experiment(self.shop.url)
        for view in (self.view, open_experiment(self.shop.url)):
            assert view._state == state
        assert self.view.result().ended == (state.ended or "not ended")
        self.steps += 1
        if self.steps % 5 == 0:
            assert len(self.view.trials_dataframe()) == len(state.trials)
            self.rows.append(len(self.view.dataframe()))
            assert self.rows[-1] == sum(trial.iteration for trial in state.trials.values())


def test_of_a_running_experiment_whose_driver_does_not_notice(tmp_path, caplog):
    shop = SimulatedExperiment(f"{tmp_path}/e", {"type": "hyperband", "max_t": 9})
    watch = Watch(shop)
    shop.observers = [watch]
    state = shop.run()
    assert not caplog.records  # an observer whose assertion fails would be left out
    undisturbed = SimulatedExperiment(f"{tmp_path}/undisturbed", {"type": "hyperband", "max_t": 9})
    assert undisturbed.run() == state
    assert state.epoch == 1
    assert watch.steps > 20
    assert watch.rows == sorted(watch.rows)
    pd.testing.assert_frame_equal(watch.view.dataframe(), open_experiment(shop.url).dataframe())


def test_a_view_stays_at_its_moment_until_it_is_refreshed(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=True)
    view = open_experiment(shop.url)
    before = view.trials
    shop.run()
    assert (view.trials, view.ended) == (before, None)
    rows = view.dataframe()
    assert len(rows) == sum(trial.iteration for trial in before) > 0
    assert view.refresh() is view
    assert view.ended == "all trials done"
    assert view.dataframe()[: len(rows)].equals(rows)
    assert len(view.dataframe()) == 6 * 9


def test_a_refresh_reads_only_what_is_new(tmp_path, monkeypatch):
    shop = SimulatedExperiment(f"{tmp_path}/e", snapshot_every=1000)
    shop.run_and_die(20, durable=True)
    view = open_experiment(shop.url)
    view.dataframe()
    seen = shop.entries()
    shop.run_and_die(5, durable=True)
    read: list[str] = []
    get = ObjectStore.get
    monkeypatch.setattr(ObjectStore, "get", lambda self, key: read.append(key) or get(self, key))
    view.refresh().dataframe()
    entries = [key for key in read if key.startswith("log/")]
    assert entries
    assert min(entries) == f"log/{seen + 1:012d}.jsonl"


def test_of_a_dead_experiment_nothing_is_written(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(20, durable=False)
    folder = Path(shop.url)
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)
    before = everything_in(folder)
    view = open_experiment(shop.url)
    view.dataframe(), view.trials_dataframe(), view.refresh(), repr(view), view.result()
    assert everything_in(folder) == before
    folder.chmod(0o755)
    assert view.result().ended == "not ended"
    assert view.num_trials[TrialStatus.RUNNING] == 2
    with pytest.raises(StorageError, match="no such table"):
        view.result().dataframe()


def test_from_another_machine_on_s3(s3_url, tmp_path):  # noqa: F811
    shop = SimulatedExperiment(f"{s3_url}/tuning/e", num_samples=3)
    state = shop.run()
    view = open_experiment(f"{s3_url}/tuning/e/")
    assert view.trials == list(state.trials.values())
    assert len(view.dataframe()) == 27
    with pytest.raises(ExperimentNotFound, match=f"Some in {s3_url}/tuning: e[.]$"):
        open_experiment(f"{s3_url}/tuning/f")
    with pytest.raises(ExperimentNotFound, match="no experiment here"):
        open_experiment(s3_url)


def test_before_the_first_record(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(1, durable=False)  # the fence
    with pytest.raises(ExperimentNotFound):
        open_experiment(shop.url)
    shop.run_and_die(2, durable=False)
    view = open_experiment(shop.url)
    assert (view.trials, view.updated_at, view.ended, view.best_trial) == ([], None, None, None)
    assert view.result().best_config is None
    assert view.dataframe().empty
    assert view.trials_dataframe().empty
    assert "none yet" in repr(view)
    assert "never" in view._repr_html_()
    with pytest.raises(InvalidParameter, match="begun without a record"):
        view.parameters()


@pytest.mark.parametrize("metric", ["score", None])
def test_where_every_trial_failed(tmp_path, metric):
    shop = SimulatedExperiment(f"{tmp_path}/e", fault=boom, num_samples=2, metric=metric)
    shop.run()
    view = open_experiment(shop.url)
    assert (view.best_trial, view.best_config, view.best_metrics, view.best_checkpoint) == (None,) * 4
    assert set(view.errors) == {"trial-00000", "trial-00001"}
    assert "boom" in view.trials[0].error
    assert view.dataframe().empty
    assert list(view.trials_dataframe()["status"]) == ["ERRORED", "ERRORED"]
    assert "2 errored of 2" in repr(view)


def test_without_a_metric(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", trainable=Silent, metric=None, num_samples=2)
    shop.run()
    view = open_experiment(shop.url)
    assert (view.metric, view.best_trial, view.result().best_value) == (None, None, None)
    assert view.dataframe()["loss"].tolist() == [1.0] * 18
    assert "best none" in repr(view)


def test_shown_in_a_notebook(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/<e>")
    shop.run()
    view = open_experiment(shop.url)
    best = view.best_trial
    assert repr(view).startswith(
        f"ExperimentView('{shop.url}': ended all trials done; trials 6 terminated of 6;"
    )
    assert f"best score={best.metrics['score']:.6g} ({best.trial_id})" in repr(view)
    html = view._repr_html_()
    assert "&lt;e&gt;" in html
    assert "<e>" not in html


def test_what_is_damaged_is_never_passed_over(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", snapshot_every=1000)
    shop.run_and_die(10, durable=True)
    view = open_experiment(shop.url)
    view.dataframe()
    damaged = Path(shop.url) / f"log/{shop.entries() + 2:012d}.jsonl"
    state = shop.run()
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1])
    for _ in range(2):
        with pytest.raises(CorruptJournalError, match=damaged.name):
            view.refresh()
    damaged.write_bytes(whole)
    assert view.refresh().trials == list(state.trials.values())
    assert len(view.dataframe()) == 6 * 9


def test_a_note_on_its_session_that_is_damaged_is_passed_over(tmp_path, caplog):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run()
    parameters = open_experiment(shop.url).parameters()
    assert not caplog.records
    Path(shop.url, SESSION_KEY).write_bytes(b"")
    assert open_experiment(shop.url).parameters() == parameters
    assert f"{SESSION_KEY}: not a whole tune_flows object" in caplog.text


def test_begun_anew_under_the_same_name(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run()
    view = open_experiment(shop.url)
    gone = shop.experiment()
    gone.look()
    gone.claim()
    gone.discard()
    with pytest.raises(ExperimentNotFound):
        view.refresh()
    SimulatedExperiment(shop.url, num_samples=2).run_and_die(9, durable=True)
    assert view.refresh().ended is None
    assert len(view.trials) == 2


def test_looked_for_in_the_wrong_place(tmp_path):
    for name in ("churn-nightly", "churn-weekly", "digits"):
        SimulatedExperiment(f"{tmp_path}/{name}", num_samples=1).run()
    (tmp_path / "notes").mkdir()
    with pytest.raises(ExperimentNotFound) as storage_path:
        open_experiment(str(tmp_path))
    assert f"Some in {tmp_path}: churn-nightly, churn-weekly, digits." in str(storage_path.value)
    with pytest.raises(ExperimentNotFound) as typing_error:
        open_experiment(f"{tmp_path}/churn-nighty")
    assert f"Some in {tmp_path}: churn-nightly, churn-weekly, digits." in str(typing_error.value)
    with pytest.raises(ExperimentNotFound, match=r"storage_path/name as `tune` was given them"):
        open_experiment(f"{tmp_path}/notes/more/x")


@pytest.mark.parametrize("url", ["", "nope://x", "s3://", "file://host/x"])
def test_what_cannot_be_a_url_is_refused(url):
    with pytest.raises(InvalidParameter, match=r"^url: got"):
        open_experiment(url)


def test_home_is_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    SimulatedExperiment(f"{tmp_path}/e", num_samples=1).run()
    assert open_experiment("~/e").url == f"{tmp_path}/e"


PROGRAM = """
import sys
from tune_flows import open_experiment
view = open_experiment(sys.argv[1])
repr(view), view.best_config, view.trials
print([name for name in ("prefect", "ray", "pandas", "pyarrow", "optuna", "fsspec") if name in sys.modules])
assert len(view.dataframe()) == 9
print([name for name in ("prefect", "ray") if name in sys.modules])
"""


def test_it_loads_neither_prefect_nor_ray_and_pandas_only_for_a_frame(tmp_path):
    SimulatedExperiment(f"{tmp_path}/e", num_samples=1).run()
    command = [sys.executable, "-c", PROGRAM, f"{tmp_path}/e"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n[]\n"


def test_the_documentation_runs_as_it_stands_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    SimulatedExperiment(f"{tmp_path}/.tune_flows/churn-nightly").run_and_die(30, durable=True)
    (source,) = (block for block in blocks(DOCS / "storage-and-resume.md", "python") if "view" in block)
    names = {}
    exec(source, names)
    assert "ended not yet; trials " in capsys.readouterr().out
    assert len(names["trials"]) == len(names["view"].trials) > 2
    assert names["curves"].index.tolist() == list(range(1, 10))


def test_every_name_in_the_documentation_is_there():
    page = (DOCS / "storage-and-resume.md").read_text("utf-8")
    table = page.split("| of a view |")[1].split("\n\n")[0]
    names = [
        name.removesuffix("()")
        for row in table.splitlines()[2:]
        for name in re.findall(r"`(\w+(?:\(\))?)`", row.split("|")[1])
    ]
    public = {name for name in vars(ExperimentView) if not name.startswith("_")}
    assert set(names) == public
