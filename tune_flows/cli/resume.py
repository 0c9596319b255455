"""`tune-flows resume`: resumes an experiment as it was last run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tune_flows.cli.exits import print_err
from tune_flows.cli.options import Options, RunArguments
from tune_flows.cli.run import run_given

if TYPE_CHECKING:
    from tune_flows.store import ObjectStore
    from tune_flows.store.control_files import Session

__all__ = ["resume"]

_NOTHING = Options()


def resume(
    url: str,
    /,
    options: Options = _NOTHING,
    *,
    errored: bool = False,
    restart_errored: bool = False,
    json: bool = False,
) -> int:
    """Resume an experiment as it was last run: its trainable, parameters and limits need not be given again.

    Any driver still running it stops: an experiment has one driver. If the experiment has ended, its result
    is returned at once, unless options extend it. Exit codes are those of `run`.

    Args:
        url: Where the experiment lies.
        options: Options of every session.
        errored: Trials that failed run again from their newest checkpoints.
        restart_errored: Trials that failed run again from scratch.
        json: Print the result as JSON.
    """
    from tune_flows.cli.locations import objects_at, place_of, view_of
    from tune_flows.core.errors import InvalidParameter

    if errored and restart_errored:
        raise InvalidParameter("--errored and --restart-errored: got both, expected one of them")
    store = objects_at(url)
    view = view_of(store)
    module, _, name = view.spec.trainable.partition(":")
    if module == "__main__" or "<" in name:
        raise InvalidParameter(
            f"trainable: {view.url} was begun with {view.spec.trainable}, which only the program that "
            "defines it can name; expected one that can be imported. Call `tune` from that program again."
        )
    storage_path, experiment = place_of(url, store)
    session = _session(store)
    parameters = _known(view.parameters())
    if session is None:
        _tell_of_defaults(parameters)
    mode = "errored" if errored else "restart_errored" if restart_errored else "must"
    given = RunArguments(
        {**parameters, "storage_path": storage_path, "name": experiment, "resume": mode}, view.url
    )
    given.override(options.assignments(), options.set_)
    return run_given(given, json=json)


def _session(store: "ObjectStore") -> "Session | None":
    """Return the last session; unlike a view, a resume must not ignore a damaged session file."""
    from tune_flows.core.errors import CorruptJournalError
    from tune_flows.store.control_files import SESSION_KEY, read_session

    try:
        return read_session(store)
    except CorruptJournalError as error:
        raise CorruptJournalError(
            f"{error} To carry the experiment on, deleting {SESSION_KEY} is enough; what it held must then "
            "be said with --set: resources_per_trial, checkpoint_config, ..."
        ) from error


def _tell_of_defaults(parameters: Mapping[str, Any]) -> None:
    from tune_flows.store.control_files import SESSION_KEY

    unknown = ["resources_per_trial", "checkpoint_frequency", *([] if parameters["stop"] else ["stop"])]
    print_err(
        f"tune-flows: there is no {SESSION_KEY}: an older tune_flows ran it. What that did not store has "
        f"its default, unless --stop or --set says otherwise: {', '.join(unknown)}, ..."
    )


def _known(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters without those that only a newer release accepts."""
    from inspect import signature

    from tune_flows.flow import tune

    taken = signature(tune.fn).parameters
    if newer := [name for name in parameters if name not in taken]:
        print_err(f"tune-flows: noted by a newer tune_flows and left out: {', '.join(newer)}")
    return {name: value for name, value in parameters.items() if name in taken}
