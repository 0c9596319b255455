"""`tune-flows run`: one run of the flow `tune`, from a specification or from options."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tune_flows.cli.exits import Exit, print_err
from tune_flows.cli.options import Options, RunArguments

if TYPE_CHECKING:
    from tune_flows.results.tune_result import TuneResult

__all__ = ["run", "run_given"]

_NOTHING = Options()


def run(
    what: str,
    /,
    options: Options = _NOTHING,
    *,
    param_space: str | None = None,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    search_alg: str | None = None,
    scheduler: str | None = None,
    storage_path: str | None = None,
    name: str | None = None,
    resume: Literal["auto", "never", "must", "errored", "restart_errored"] | None = None,
    json: bool = False,
) -> int:
    """Run an experiment to its end; one that exists at storage_path/name is resumed where it left off.

    The keys of a specification are the parameters of `tune`; options override them. Ctrl-C stops the run
    gracefully: running trials save, and the same command resumes it. Exit code 1 if every trial failed, or
    one did with fail_fast; 3 if the run was stopped before the experiment had ended.

    Args:
        what: A specification (.yaml, .toml, .json), or the import path of a trainable, package.module:name.
        options: Options of every session.
        param_space: Search space as JSON; or use --set param_space.NAME=JSON.
        metric: Reported metric to tune.
        mode: Whether smaller or larger is better.
        search_alg: random, grid, optuna, or JSON with type and fields.
        scheduler: fifo, asha, hyperband, pbt, ..., or JSON with type and fields.
        storage_path: Folder or URL; by default TUNE_FLOWS_STORAGE, else ~/.tune_flows.
        name: Name of the experiment; by default a new one.
        resume: Whether the experiment must or must not exist, and whether its failed trials run again.
        json: Print the result as JSON.
    """
    given = _given(what)
    said = {
        "param_space": param_space,
        "metric": metric,
        "mode": mode,
        "search_alg": search_alg,
        "scheduler": scheduler,
        "storage_path": storage_path,
        "name": name,
        "resume": resume,
    }
    said = {key: _json_or_name(key, value) for key, value in said.items() if value is not None}
    given.override({**said, **options.assignments()}, options.set_)
    return run_given(given, json=json)


def run_given(given: RunArguments, *, json: bool) -> int:
    """Run the flow and print its result on standard output; return the exit code."""
    from tune_flows.cli.output import print_json
    from tune_flows.core.errors import InvalidParameter

    _look_in_present_folder()
    from tune_flows.flow import tune
    from tune_flows.tasks.run_flow import run_flow

    given.check_names(tune.fn)
    try:
        result = run_flow(tune, given.parameters, tracebacks="--debug" in sys.argv)
    except InvalidParameter as error:
        raise given.blamed(error) from error
    if result is None:
        print_err(
            "tune-flows: the run was stopped before the experiment had ended; the same command carries it on."
        )
        return Exit.NOT_ENDED
    if json:
        print_json(result.model_dump(mode="json"))
    else:
        _print(result)
    return Exit.NOT_ENDED if result.ended == "not ended" else Exit.DONE


def _given(what: str) -> RunArguments:
    from tune_flows.cli.spec_file import SUFFIXES, read_spec
    from tune_flows.core.errors import InvalidParameter

    if Path(what).suffix.lower() in SUFFIXES:
        return RunArguments(read_spec(Path(what)), what)
    if ":" not in what:
        expected = f"a specification (*{', *'.join(SUFFIXES)}) or a trainable (package.module:name)"
        raise InvalidParameter.of("WHAT", what, expected)
    return RunArguments({"trainable": what}, what)


def _json_or_name(key: str, value: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return an option's value: JSON for a search space or a policy in `{...}`, else text."""
    from json import loads

    from tune_flows.core.errors import InvalidParameter

    if key != "param_space" and not (key in ("search_alg", "scheduler") and value.startswith("{")):
        return value
    try:
        return loads(value)
    except ValueError as error:
        raise InvalidParameter.of(f"--{key.replace('_', '-')}", value, "JSON", f"{error}.") from error


def _look_in_present_folder() -> None:
    """Add the current folder to `sys.path`, as `python -m` does, for trainables here and in the workers."""
    present = os.getcwd()
    if present not in sys.path:
        sys.path.insert(0, present)


def _print(result: "TuneResult") -> None:
    from tune_flows.cli.output import fields, show_all
    from tune_flows.cli.summary import number, one_line

    counts = ", ".join(f"{n} {status.lower()}" for status, n in result.num_trials.items() if n)
    named: Mapping[str, str] = {
        "experiment": result.experiment_url,
        "ended": result.ended,
        "trials": counts or "none",
    }
    if result.best_trial_id is not None:
        named = {
            **named,
            "best": f"{result.metric}={number(result.best_value)}  ({result.best_trial_id})",
            "config": one_line(result.best_config or {}),
        }
    show_all(fields(named.items()))
