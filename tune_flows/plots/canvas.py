"""The basis of all plots: colours, text, axes, and rendering to bytes.

Rules of this module:

- Only matplotlib's objects, no pyplot: there is no global figure, so any thread may draw.
- A plot sets its background, colours and fonts: it is readable on any page and independent of the matplotlib
  style of the process.
- A name is shown literally, never as mathematical markup.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "ACCENT",
    "FINEST",
    "INK",
    "MUTED",
    "PALE",
    "PAPER",
    "RAMP",
    "TEXT",
    "WIDTH_IN",
    "Detail",
    "Format",
    "Picture",
    "blank",
    "panel",
    "pixels",
    "plot_area",
    "rendered",
    "shown",
    "shown_path",
    "tick",
    "within",
]

Format = Literal["svg", "png"]

PAPER, GRID = "#f8fafc", "#e2e8f0"
INK, MUTED = "#0f172a", "#475569"
PALE, ACCENT = "#94a3b8", "#ea580c"
RAMP = ("#cbd5e1", "#a5b4d4", "#7c93cf", "#4f6fc6", "#1d4ed8")
"""Colours from the worst to the best."""
_FONT = "DejaVu Sans"
TEXT: dict[str, Any] = {"family": _FONT, "parse_math": False, "usetex": False}
"""Keyword arguments of every matplotlib text."""
WIDTH_IN = 9.0
_MEDIA = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A rendered plot, ready to be stored or shown."""

    data: bytes
    media_type: str

    @property
    def data_uri(self) -> str:
        """The picture as a data URI for an image in a page."""
        from base64 import b64encode

        return f"data:{self.media_type};base64,{b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Detail:
    """Upper limits for the content of a plot."""

    trials: int
    points: int
    """Points per curve."""
    panels: int
    """Parameters shown."""
    dpi: int = 110


FINEST = Detail(80, 100, 12, 150)
_COARSER = (Detail(50, 60, 8), Detail(25, 40, 8), Detail(12, 20, 6, 80), Detail(6, 10, 4, 50))


def within(size_bytes: int | None, format: Format, draw: Callable[[Detail], "Figure"]) -> Picture:
    """Return the picture with as much detail as fits; the coarsest one if none fits.

    Args:
        size_bytes: Maximum size; None: unlimited.
        format: Format of the picture.
        draw: Draws the figure with a given level of detail.
    """
    data = b""
    for detail in (FINEST, *_COARSER):
        data = rendered(draw(detail), format, dpi=detail.dpi)
        if size_bytes is None or len(data) <= size_bytes:
            break
    return Picture(data, _MEDIA[format])


def rendered(figure: "Figure", format: Format, dpi: int = FINEST.dpi) -> bytes:
    """Return the figure as bytes."""
    from matplotlib import image
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = BytesIO()
    if format == "png":
        image.imsave(buffer, pixels(figure, dpi), format="png")
        return buffer.getvalue()
    without = {"Date": None, "Creator": None, "Format": None, "Type": None}
    FigureCanvasSVG(figure).print_figure(buffer, format="svg", facecolor=PAPER, metadata=without)
    return _compact(buffer.getvalue())


def pixels(figure: "Figure", dpi: int) -> "NDArray[np.uint8]":
    """Return the figure as an RGBA array of shape (height, width, 4)."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _compact(svg: bytes) -> bytes:
    """Return the drawing with coordinates truncated to 0.1 point: about half the size."""
    svg = re.sub(rb'(?<= d=")[^"]*', lambda found: re.sub(rb"(\.\d)\d+", rb"\1", found[0]), svg)
    svg = re.sub(rb'( [xy]="-?\d+\.\d)\d+"', rb'\1"', svg)
    svg = re.sub(rb' style="fill: (#\w+); stroke: \1"/>', rb' fill="\1"/>', svg)
    return re.sub(rb"<\?xml.*?<svg", b"<svg", svg, count=1, flags=re.DOTALL)


def panel(height_in: float, title: str, subtitle: str = "") -> "Figure":
    """Return an empty figure with a title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), facecolor=PAPER)
    top = 1 - 0.18 / height_in
    figure.text(0.02, top, shown(title, 90), size=11, weight="bold", color=INK, va="top", **TEXT)
    if subtitle:
        figure.text(0.98, top, shown(subtitle, 90), size=8.5, color=MUTED, va="top", ha="right", **TEXT)
    return figure


def blank(title: str, why: str) -> "Figure":
    """Return a figure with a title and the reason why there is nothing to plot."""
    figure = panel(1.2, title)
    figure.text(0.5, 0.4, shown(why, 120), size=9.5, color=MUTED, ha="center", va="center", **TEXT)
    return figure


def plot_area(
    figure: "Figure", left_in: float, bottom_in: float, width_in: float, height_in: float
) -> "Axes":
    """Return axes without tick labels at a position in the figure, given in inches."""
    width, height = figure.get_size_inches()
    area = figure.add_axes((left_in / width, bottom_in / height, width_in / width, height_in / height))
    area.set_facecolor(PAPER)
    area.spines[["top", "right"]].set_visible(False)
    area.spines[["left", "bottom"]].set_color(PALE)
    area.tick_params(length=0, colors=MUTED, labelsize=8.5)
    area.set_axisbelow(True)
    return area


def tick(
    area: "Axes", which: Literal["x", "y"], ticks: Iterable[tuple[float, str]], *, most: int = 14
) -> None:
    """Set the ticks of an axis to `ticks` (position, label), with grid lines."""
    at = list(ticks)
    axis = area.xaxis if which == "x" else area.yaxis
    labels = [shown(text, most) for _, text in at]
    axis.set_ticks([place for place, _ in at], labels=labels, color=MUTED, size=8.5, **TEXT)
    area.minorticks_off()
    area.grid(visible=True, axis=which, color=GRID, linewidth=0.8)


def shown(text: str, most: int) -> str:
    """Return the text on one line of at most `most` characters; those not in the font become U+FFFD."""
    known = _characters()
    line = "".join(c if ord(c) in known else "\ufffd" for c in " ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def shown_path(path: str, most: int) -> str:
    """Return a parameter's path; if it is too long, its last part, with the middle cut out if necessary."""
    name = path if len(path) <= most else path.rpartition("/")[2]
    if len(name) > most:
        name = f"{name[: most // 3]}…{name[-(most - 1 - most // 3) :]}"
    return shown(name, most)


@cache
def _characters() -> frozenset[int]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(_FONT)).get_charmap())
