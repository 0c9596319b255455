"""`tune-flows plot`: plots of an experiment as a file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tune_flows.cli.exits import Exit, print_err

__all__ = ["plot"]


def plot(
    url: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    kind: Annotated[str, Parameter(show_default=True)] = "overview",
    json: bool = False,
) -> int:
    """Draw the learning curves, the best value over time, and the effect of the parameters.

    Args:
        url: Where the experiment lies.
        output: File to write: .svg, .png or .html.
        kind: overview (all of them), curves, best, parallel or slices.
        json: Print JSON: the experiment's url, the file and the kind.
    """
    from tune_flows.cli.locations import objects_at, view_of
    from tune_flows.cli.output import print_json
    from tune_flows.plots import save_picture

    view = view_of(objects_at(url))
    save_picture(view, output, kind=kind)
    if json:
        print_json({"url": view.url, "file": str(output), "kind": kind})
    else:
        print_err(f"{output}: {kind} of {view.url}")
    return Exit.DONE
