"""Loads the results of earlier runs of an experiment from its journal, at low CPU usage."""

import logging
import threading
import time

from tune_flows.core.objective import Objective
from tune_flows.experiment.experiment import history
from tune_flows.plots import Recorder
from tune_flows.store import Journal, ObjectStore

__all__ = ["EarlierResults"]

_log = logging.getLogger(__name__)

_SHARE = 0.03
"""Share of one core to use while the experiment runs."""
_WAIT_S = 10.0


class EarlierResults:
    """Reads the journal on a separate thread.

    Args:
        store: The storage of the experiment.
        objective: The metric and its direction.
        read: Whether there is anything to read.
    """

    def __init__(self, store: ObjectStore, objective: Objective, *, read: bool) -> None:
        self._store = store
        self._recorder = Recorder(objective)
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._whole = not read
        self._given_up = False
        if read:
            self._thread = threading.Thread(target=self._read, name="earlier results", daemon=True)
            self._thread.start()

    def recorder(self, *, wait: bool) -> Recorder | None:
        """Return the results once all are read; None: not all are read yet, or there are none.

        Args:
            wait: Whether to wait for them, up to ten seconds.
        """
        if self._thread is None:
            return None
        if wait:
            self._hurry.set()
            self._thread.join(_WAIT_S)
        return self._recorder if self._whole else None

    def give_up(self) -> None:
        """Stop reading."""
        self._given_up = True
        self._hurry.set()

    def _read(self) -> None:
        try:
            worked_s = time.thread_time()
            for _, records in history(Journal.read(self._store, whole=True)):
                if self._given_up:
                    return
                self._recorder.add(records)
                now_s = time.thread_time()
                if now_s - worked_s > 0.01:
                    self._hurry.wait((now_s - worked_s) / _SHARE)
                    worked_s = time.thread_time()
        except Exception as error:  # only the plots lack these results
            _log.warning("the pictures of this run lack the results of earlier runs: %s", error)
            return
        self._whole = True
