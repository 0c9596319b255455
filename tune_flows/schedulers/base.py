"""The protocol of trial schedulers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from tune_flows.core.decisions import CONTINUE, Decision
from tune_flows.core.objective import Objective
from tune_flows.core.policy import Policy
from tune_flows.core.space import ParamSpace
from tune_flows.core.trial import Result, Trial, TrialStatus

__all__ = ["TrialScheduler"]


class TrialScheduler(Policy):
    """Says which trial runs, which goes on, which pauses and which stops.

    Every method has a default that is right, so a scheduler of one's own overrides what it needs, mostly
    `on_trial_result`. It gets values and returns decisions; it never sees the runner. Fields and private
    attributes survive a restart (`Policy`); nothing else does.
    """

    needs_metric: ClassVar[bool] = True
    """Whether it compares the metric; a run without a metric is then refused."""
    saves_at_decisions: ClassVar[bool] = False
    """Whether a trial must have a durable checkpoint at each of its decision points (pauses, clones)."""

    def setup(self, *, objective: Objective, space: ParamSpace, seed: int) -> None:
        """Prepare for an experiment; called before anything else, on resume before `load_state`.

        Args:
            objective: The metric and its direction.
            space: What is searched, for schedulers that change configurations.
            seed: Entropy of the experiment, for a scheduler whose own `seed` is None.
        """

    def next_decision(self, trial: Trial) -> int | None:
        """The iteration (> `trial.iteration`) at which this scheduler next wants a say; None: never.

        The trial trains on to it without waiting for anybody. The default, the very next step, is always
        right.
        """
        return trial.iteration + 1

    def on_trial_add(self, trial: Trial) -> None:
        """The trial exists and is PENDING.

        A trial that has completed or failed is added again when the user extended the experiment or has
        failed trials run again; it then goes on after `trial.iteration`, or begins from scratch (0).
        """

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        """The word on a trial that has just reported `result`; `trial` includes it already.

        Called for every iteration, in order. Anything but CONTINUE is allowed only at the iteration
        that `next_decision` named.
        """
        del trial, result
        return CONTINUE

    def on_trial_complete(self, trial: Trial) -> None:
        """The trial ended in order or was stopped; `trial.last_result` is its final result (None: none)."""

    def on_trial_error(self, trial: Trial, *, final: bool) -> None:
        """The trial failed; it is tried again unless `final`."""

    def on_no_new_trials(self) -> None:
        """No further trial will come, or none can come until paused ones go on: decide with what is there."""

    def pending_decisions(self) -> Mapping[str, Decision]:
        """Decisions about other trials than the one just heard of, by id; asked after every call above."""
        return {}

    def choose_trial_to_run(self, candidates: Sequence[Trial]) -> str | None:
        """The id of the trial that gets a free slot, or None to leave it free.

        Not asked as long as a trial waits that lost the slot it had: to a fault, or with its driver.

        Args:
            candidates: All PENDING and PAUSED trials, oldest first; at least one.
        """
        pending = (trial for trial in candidates if trial.status is TrialStatus.PENDING)
        return next(pending, candidates[0]).trial_id
