"""Results of earlier runs of an experiment, read from its journal without haste."""

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
"""Of one core, while the experiment runs."""
_WAIT_S = 10.0


class EarlierResults:
    """Reads the journal on a thread of its own.

    Args:
        store: Where the experiment lies.
        objective: What is tuned.
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
        """The results, once all are read; None: they are not, or there are none.

        Args:
            wait: Whether to wait for them, some seconds at most.
        """
        if self._thread is None:
            return None
        if wait:
            self._hurry.set()
            self._thread.join(_WAIT_S)
        return self._recorder if self._whole else None

    def give_up(self) -> None:
        """Read no further."""
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
        except Exception as error:  # they are missing in the pictures, and nowhere else
            _log.warning("the pictures of this run lack the results of earlier runs: %s", error)
            return
        self._whole = True
