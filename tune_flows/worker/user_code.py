"""Exceptions of the user's code, with what the user needs to see of them."""

import logging
import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tune_flows.core.errors import TrainableError

__all__ = ["end_if_forked", "log_cleanup_fault", "trainable_error", "user_code"]

_OURS = str(Path(__file__).parent)
_MAX_HEADLINE = 500


@contextmanager
def user_code() -> Generator[None, None, None]:
    """What the block raises is the user's: it becomes a `TrainableError`, `SystemExit` included."""
    pid = os.getpid()
    try:
        yield
    except (Exception, SystemExit) as error:
        raise trainable_error(error) from error
    finally:
        end_if_forked(pid)


def end_if_forked(pid: int) -> None:
    """End this process unless it is `pid`: user code forked, and the child came out of it.

    It must not go on as a second worker, nor clean up what is not its own.
    """
    if os.getpid() != pid:
        os._exit(1)


def trainable_error(error: BaseException) -> TrainableError:
    """The error with its headline as first line and its traceback, from the user's code on, after it."""
    head = str(error) if isinstance(error, TrainableError) else f"{type(error).__name__}: {error}"
    headline = (head.splitlines() or [""])[0][:_MAX_HEADLINE]
    shown = traceback.TracebackException(type(error), error, _from_user_code(error.__traceback__))
    return TrainableError(f"{headline}\n\n{''.join(shown.format())}".rstrip())


def log_cleanup_fault(trial_id: str) -> None:
    """Tell of the exception being handled: the user's code raised while it was ended, too late to matter."""
    logging.getLogger("tune_flows").warning("%s: ending it raised; ignored", trial_id, exc_info=True)


def _from_user_code(frames: TracebackType | None) -> TracebackType | None:
    """The traceback without our own frames at its top; with them when there are no others."""
    first = frames
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OURS):
        first = first.tb_next
    return first or frames
