"""Pictures of an experiment in files, as its view shows it."""

from xml.etree import ElementTree

import pytest

from tests.experiment.simulated_experiment import Odd, SimulatedExperiment
from tune_flows import InvalidParameter, choice, loguniform, open_experiment
from tune_flows.plots import KINDS, plot_data, save_picture

SVG = "{http://www.w3.org/2000/svg}"
SPACE = {"x": loguniform(0.1, 1), "model": {"layers": choice([2, 4]), "width": 8}}


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    shop = SimulatedExperiment(
        f"{tmp_path_factory.mktemp('pictures')}/e<b>", {"type": "asha", "max_t": 9}, space=SPACE
    )
    shop.run()
    return open_experiment(shop.url)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_format(view, tmp_path, kind):
    for suffix in ("svg", "PNG"):
        save_picture(view, tmp_path / f"run.{suffix}", kind)
    root = ElementTree.parse(tmp_path / "run.svg").getroot()
    assert root.tag == f"{SVG}svg"
    assert len(root.findall(f"{SVG}svg")) == (4 if kind == "overview" else 1)
    assert (tmp_path / "run.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_page_that_needs_nothing_else(view, tmp_path):
    save_picture(view, str(tmp_path / "run.html"))
    page = (tmp_path / "run.html").read_text()
    assert page.count("<svg") == 4
    assert "<h1>e&lt;b&gt;</h1>" in page
    assert "all trials done" in page
    assert "<script" not in page


def test_what_is_drawn_is_what_the_view_shows(view):
    shown, frame = plot_data(view), view.dataframe()
    assert {c.trial_id: list(c.values) for c in shown.curves} == {
        trial_id: rows["score"].tolist() for trial_id, rows in frame.groupby("trial_id")
    }
    assert shown.best is not None
    assert (shown.best.trial_id, shown.best.value) == (view.best_trial.trial_id, frame["score"].max())
    assert shown.improvements[-1].value == frame["score"].max()
    assert [axis.path for axis in shown.axes] == ["model/layers", "x"]
    assert shown.results == len(frame)


@pytest.mark.parametrize("shop", [{"metric": None}, {"trainable": Odd}, {"space": {"x": 0.5}}])
def test_odd_experiments(tmp_path, shop):
    shop = SimulatedExperiment(f"{tmp_path}/e", **shop)
    shop.run()
    save_picture(open_experiment(shop.url), tmp_path / "run.svg")


def test_an_experiment_that_has_hardly_begun(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e")
    shop.run_and_die(3, durable=True)
    save_picture(open_experiment(shop.url), tmp_path / "run.html")


@pytest.mark.parametrize("file", ["run.gif", "run", ".svg"])
def test_a_format_there_is_none_of(view, tmp_path, file):
    with pytest.raises(InvalidParameter, match=r"ends in \.svg, \.png or \.html"):
        save_picture(view, tmp_path / file)
    with pytest.raises(InvalidParameter, match="kind"):
        save_picture(view, tmp_path / "run.svg", "pie")
    assert list(tmp_path.iterdir()) == []
