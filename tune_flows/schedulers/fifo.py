"""First in, first out: no trial is ever stopped or paused."""

from typing import ClassVar, Literal

from pydantic import ConfigDict

from tune_flows.core.trial import Trial
from tune_flows.schedulers.base import TrialScheduler

__all__ = ["FIFOScheduler"]


class FIFOScheduler(TrialScheduler):
    """Runs the trials in the order in which they were created, each to its end."""

    model_config = ConfigDict(title="FIFO")
    needs_metric: ClassVar[bool] = False

    type: Literal["fifo"] = "fifo"

    def next_decision(self, trial: Trial) -> int | None:
        """Return None: a trial never waits for a decision."""
        del trial
        return None
