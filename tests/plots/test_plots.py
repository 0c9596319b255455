"""What is drawn: it can be drawn at all, it fits, and it shows what it should."""

import math
import threading
from xml.etree import ElementTree

import pytest

from tests.plots.builders import ODD, SPACE, plot_data, searched, tried
from tune_flows.core.space import ParamSpace, grid_search, qloguniform, sample_from, uniform
from tune_flows.plots import (
    Axis,
    axes_of,
    best_so_far,
    learning_curves,
    parallel_coordinates,
    slices,
)
from tune_flows.plots.scale import scale_of, steps, value_limits

ALL = [learning_curves, best_so_far, parallel_coordinates, slices]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("draw", ALL)
def test_everything_can_be_drawn(draw, name):
    svg = draw(ODD[name])
    assert svg.media_type == "image/svg+xml"
    assert ElementTree.fromstring(svg.data).tag == f"{SVG}svg"


@pytest.mark.parametrize("draw", ALL)
def test_as_pixels(draw):
    png = draw(ODD["extremes"], "png")
    assert png.media_type == "image/png"
    assert png.data.startswith(b"\x89PNG")


@pytest.mark.parametrize(("draw", "format"), [*((draw, "svg") for draw in ALL), (learning_curves, "png")])
def test_detail_is_left_out_to_fit(draw, format):
    many = searched(trials=400, iterations=60)
    finest, coarsest = len(draw(many, format).data), len(draw(many, format, 1).data)
    assert coarsest < finest
    limit = (coarsest + finest) // 2
    assert coarsest <= len(draw(many, format, limit).data) <= limit
    assert coarsest < 60_000


def test_a_picture_of_ten_thousand_trials_is_small():
    many = searched(trials=10_000, iterations=3)
    for draw in ALL:
        assert len(draw(many).data) < 200_000


def test_the_same_is_drawn_from_any_thread():
    alone, found = learning_curves(ODD["searched"], "png"), []
    threads = [
        threading.Thread(target=lambda: found.append(learning_curves(ODD["searched"], "png")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 3


def test_a_picture_is_a_data_uri():
    assert learning_curves(ODD["nothing"]).data_uri.startswith("data:image/svg+xml;base64,")


def test_the_best_is_the_first_of_the_best():
    trials = (tried(1, 0.5), tried(2, 0.7), tried(3, 0.7), tried(4, math.nan), tried(5, math.inf))
    assert plot_data(tried=trials).best is trials[1]
    assert plot_data(tried=trials, mode="min").best is trials[0]
    assert plot_data(tried=trials[3:]).best is None


def test_axes_of_a_space():
    space = ParamSpace.parse(
        {
            "a": {"b": qloguniform(1, 100, 1), "c": grid_search([1, 2])},
            "f": sample_from("tests.plots.test_plots:searched"),
            "u": uniform(0, 1),
            "constant": 1,
        }
    )
    assert axes_of(space) == (
        Axis("a/b", log=True),
        Axis("a/c", categories=(1, 2)),
        Axis("f"),
        Axis("u"),
    )
    assert [axis.path for axis in axes_of(SPACE)] == ["hidden", "layers", "lr", "model/act", "model/dropout"]


def test_scales():
    log = scale_of(Axis("x", log=True), [1e-4, 1e-2, None, 1e-3])
    assert log.shares()[:2] == [0.0, 1.0]
    assert math.isnan(log.shares()[2])
    assert log.shares()[3] == pytest.approx(0.5)
    assert [text for _, text in log.ticks] == ["1e-4", "1e-3", "0.01"]
    numbers = scale_of(Axis("x", categories=(32, 8, 16)), [16, 8])
    assert [text for _, text in numbers.ticks] == ["8", "16", "32"]
    assert numbers.positions == (1.0, 0.0)
    mixed = scale_of(Axis("x", categories=("b", None, True)), [True, "b", "new"])
    assert [text for _, text in mixed.ticks] == ["b", "null", "true", "new"]
    assert mixed.positions == (2.0, 0.0, 3.0)
    assert scale_of(Axis("x"), [3, 3]).shares() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0104, 0.68], ["0.03", "0.1", "0.3"]),
        ([1, 50], ["1", "3", "10", "30"]),
        ([1e-5, 1e-1], ["1e-5", "1e-4", "1e-3", "0.01", "0.1"]),
        ([1e-12, 1e12], ["1e-12", "1e-7", "0.01", "1000", "1e8"]),
        ([31, 39], ["32", "34", "36", "38"]),
        ([7, 7], ["7"]),
    ],
)
def test_steps_of_a_logarithmic_axis(values, expected):
    assert [text for _, text in scale_of(Axis("x", log=True), values).ticks] == expected


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-3, 17, ["0", "5", "10", "15"]),
        (0.0012, 0.0013, ["0.0012", "0.00122", "0.00124", "0.00126", "0.00128", "0.0013"]),
        (1e6, 5e6, ["1e6", "2e6", "3e6", "4e6", "5e6"]),
        (2, 2, ["2"]),
    ],
)
def test_steps(lower, upper, expected):
    assert [text for _, text in steps(lower, upper)] == expected


def test_what_is_far_off_does_not_press_the_others_together():
    usual = [0.5 + i / 100 for i in range(30)]
    lower, upper = value_limits([*usual, 1e9], "min")
    assert lower < 0.5
    assert 0.79 < upper < 1.5
    assert value_limits([*usual, 0.9], "min")[1] > 0.9  # not far off
    assert value_limits([math.nan, math.inf], "max") == (0.0, 1.0)
