"""`tune-flows stop`: asks the driver of an experiment to stop its session gracefully."""

import getpass
import socket
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tune_flows.cli.exits import Exit, print_err

if TYPE_CHECKING:
    from tune_flows.results.view import ExperimentView
    from tune_flows.store import ObjectStore
    from tune_flows.store.control_files import Session

__all__ = ["stop"]

_LOOK_S = 0.5
_HEARD_WITHIN_S = 30.0
"""Seconds after which a driver that has not taken the request counts as dead: it polls every three."""
_A_DAY_S = 86_400.0


def stop(
    url: str,
    /,
    *,
    wait: Annotated[bool, Parameter(negative="--no-wait")] = True,
    timeout_s: Annotated[float, Parameter(show_default=True)] = 300.0,
) -> int:
    """Ask the driver of an experiment to stop its run gracefully, from any machine that reaches the storage.

    Running trials finish their step and save; `tune-flows resume`, or the same `tune` call, resumes the
    experiment. Exit code 3 if no driver answers, or it has not ended in time.

    Args:
        url: Where the experiment lies.
        wait: Wait until the session has ended; --no-wait only places the request.
        timeout_s: Seconds to wait at most.
    """
    from tune_flows.cli.locations import objects_at, session_of, view_of
    from tune_flows.core.errors import InvalidParameter
    from tune_flows.store.control_files import request_stop

    if not 0 < timeout_s <= _A_DAY_S:
        raise InvalidParameter.of("--timeout-s", timeout_s, f"seconds above 0, up to {_A_DAY_S:.0f}")
    store = objects_at(url)
    view = view_of(store)
    session = session_of(store)
    # a driver that has taken the experiment over may have recorded nothing yet
    epoch = max(view.epoch, session.epoch if session else 0)
    if epoch == view.epoch and (nothing := _nothing_to_stop(view)) is not None:
        print_err(nothing)
        return Exit.DONE
    driver = _driver(session, epoch)
    if not request_stop(store, epoch, who=f"{_user()}@{socket.gethostname()}"):
        print_err("Somebody has asked for it before.")
    if not wait:
        print_err(f"Asked {driver} to end. It looks every few seconds.")
        return Exit.DONE
    print_err(f"Asked {driver} to end; waiting for it.")
    return _wait(view, store, epoch, driver, timeout_s)


def _wait(view: "ExperimentView", store: "ObjectStore", epoch: int, driver: str, timeout_s: float) -> Exit:
    from tune_flows.store.control_files import read_stop_request, remove_stop_request

    begun_at, asked_at, heard = view.created_at, time.monotonic(), False
    while True:
        time.sleep(_LOOK_S)
        waited_s = time.monotonic() - asked_at
        if (outcome := _outcome(view, begun_at, epoch)) is not None:
            remove_stop_request(store, epoch)  # it may have come too late for the driver to read it
            return outcome
        if not heard and read_stop_request(store, epoch) is None:
            heard = True
            print_err("It has heard: running trials end their step and save.")
        if not heard and waited_s >= min(_HEARD_WITHIN_S, timeout_s):
            remove_stop_request(store, epoch)
            print_err(_no_answer(view, driver, waited_s))
            return Exit.NOT_ENDED
        if waited_s >= timeout_s:
            print_err(
                f"tune-flows: it has not ended within {timeout_s:g} s; it will when its trials have saved."
            )
            return Exit.NOT_ENDED


def _outcome(view: "ExperimentView", begun_at: datetime, epoch: int) -> Exit | None:
    """Return the exit code if the waiting is over, and print why; None: keep waiting."""
    if _is_gone(view, begun_at):
        print_err(
            f"tune-flows: {view.url}: the experiment has been removed meanwhile. The request is withdrawn."
        )
        return Exit.FAILED
    if view.epoch < epoch:
        return None
    if view.is_finished:
        print_err(f"The experiment has ended: {view.ended}.")
        return Exit.DONE
    if view.epoch > epoch:
        print_err(
            "tune-flows: another driver has taken the experiment over meanwhile; ask again to stop that one."
        )
        return Exit.NOT_ENDED
    if view.stopped is not None:
        print_err(f"Stopped ({view.stopped}). `tune-flows resume {view.url}` carries it on.")
        return Exit.DONE
    return None


def _is_gone(view: "ExperimentView", begun_at: datetime) -> bool:
    """Refresh the view; return whether the experiment was removed, or replaced by one of the same name."""
    from tune_flows.core.errors import ExperimentNotFound

    try:
        return view.refresh().created_at != begun_at
    except ExperimentNotFound:
        return True


def _nothing_to_stop(view: "ExperimentView") -> str | None:
    from tune_flows.cli.summary import age

    if view.is_finished:
        return f"{view.url} has ended: {view.ended}. There is nothing to stop."
    if view.stopped is not None:
        when = age(view.updated_at)
        return f"{view.url}: no driver is at work; the newest session ended {when} ({view.stopped})."
    if view.epoch == 0:
        return f"{view.url}: no driver has begun to work on it yet. There is nothing to stop."
    return None


def _driver(session: "Session | None", epoch: int) -> str:
    """Return the driver's description for messages, with process and host if known."""
    if session is None or session.epoch != epoch:
        return "its driver"
    host, _, process = session.writer.partition("/")
    return f"its driver (process {process} on {host})"


def _no_answer(view: "ExperimentView", driver: str, waited_s: float) -> str:
    from tune_flows.cli.summary import age

    newest, again = f"the newest record was made {age(view.updated_at)}", f"`tune-flows resume {view.url}`"
    if view.updated_at is None:
        newest, again = "there is no record yet", "The original command"
    return (
        f"tune-flows: {driver} does not answer for {waited_s:.0f} s; {newest}. It has died, has not got as "
        f"far, cannot reach {view.url}, or is of a release that does not listen. The request is withdrawn. "
        f"{again} takes the experiment over."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "somebody"
