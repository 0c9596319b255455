"""`tune-flows results`: every training iteration, or every trial, as a table for other programs."""

import sys
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter

from tune_flows.cli.exits import Exit, print_err

__all__ = ["results"]

Format = Literal["csv", "parquet", "json"]


def results(
    url: str,
    /,
    *,
    format: Annotated[Format | None, Parameter(name=["--format", "-f"])] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    trials: bool = False,
    json: bool = False,
) -> int:
    """Write the results as a table: one row for each training iteration of each trial.

    The columns are those of results.parquet and trials.parquet. The rows are read from the journal, so that
    they are always up to date.

    Args:
        url: Where the experiment lies.
        format: json is a list of objects, null for NaN; by default the output's suffix, else csv.
        output: File to write, replaced if it is there; by default standard output.
        trials: One row for each trial, with its last result.
        json: The same as --format json.
    """
    from tune_flows.cli.locations import objects_at, view_of
    from tune_flows.core.errors import InvalidParameter

    kind = _format(format, output, json=json)
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise InvalidParameter.of("--output", None, "a file: parquet is not for a terminal")
    view = view_of(objects_at(url))
    frame = view.trials_dataframe() if trials else view.dataframe()
    data = _encoded(frame, kind)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        output.write_bytes(data)
        print_err(f"{output}: {len(frame)} rows")
    return Exit.DONE


def _format(given: Format | None, output: Path | None, *, json: bool) -> Format:
    from tune_flows.core.errors import InvalidParameter

    if json:
        if given not in (None, "json"):
            raise InvalidParameter.of("--format", given, "json beside --json")
        return "json"
    suffix = output.suffix.lower().removeprefix(".") if output is not None else ""
    if given is None and output is not None and suffix not in ("csv", "parquet", "json"):
        expected = "a name that ends in .csv, .parquet or .json, or --format"
        raise InvalidParameter.of("--output", str(output), expected)
    return given or cast("Format", suffix or "csv")


def _encoded(frame: Any, kind: Format) -> bytes:  # noqa: ANN401 - a DataFrame
    if kind == "parquet":
        target = BytesIO()
        frame.to_parquet(target, index=False)
        return target.getvalue()
    if kind == "csv":
        return cast("str", frame.to_csv(index=False, lineterminator="\n")).encode()
    from json import dumps

    from tune_flows.cli.output import strict

    whole = frame.astype(object)
    rows: list[dict[str, object]] = whole.where(whole.notna(), None).to_dict("records")
    return f"{dumps(strict(rows), allow_nan=False)}\n".encode()
