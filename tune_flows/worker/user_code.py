"""Turns exceptions of user code into errors that show the user the relevant part of the traceback."""

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
    """Turn an exception of user code in the block, `SystemExit` included, into a `TrainableError`."""
    pid = os.getpid()
    try:
        yield
    except (Exception, SystemExit) as error:
        raise trainable_error(error) from error
    finally:
        end_if_forked(pid)


def end_if_forked(pid: int) -> None:
    """End this process if its id is not `pid`, that is, if it is a child that user code forked.

    The child must not continue as a second worker or clean up what belongs to its parent.
    """
    if os.getpid() != pid:
        os._exit(1)


def trainable_error(error: BaseException) -> TrainableError:
    """Return an error with a headline as first line, then the traceback, which starts in user code."""
    head = str(error) if isinstance(error, TrainableError) else f"{type(error).__name__}: {error}"
    headline = (head.splitlines() or [""])[0][:_MAX_HEADLINE]
    shown = traceback.TracebackException(type(error), error, _from_user_code(error.__traceback__))
    return TrainableError(f"{headline}\n\n{''.join(shown.format())}".rstrip())


def log_cleanup_fault(trial_id: str) -> None:
    """Log the exception being handled, which user code raised while it was ended; it is ignored."""
    logging.getLogger("tune_flows").warning("%s: ending it raised; ignored", trial_id, exc_info=True)


def _from_user_code(frames: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of this package at its top, unless there are no others."""
    first = frames
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OURS):
        first = first.tb_next
    return first or frames
