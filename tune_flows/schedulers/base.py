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
    """Base class of schedulers: decides which trials run, continue, pause and stop.

    Every method has a valid default, so a custom scheduler overrides only what it needs, mostly
    `on_trial_result`. A scheduler gets values and returns decisions; it has no access to the runner. Fields
    and private attributes survive a restart (`Policy`); nothing else does.
    """

    needs_metric: ClassVar[bool] = True
    """Whether the scheduler compares the metric; if so, a run without a metric is refused."""
    saves_at_decisions: ClassVar[bool] = False
    """Whether a trial must have a durable checkpoint at each of its decision points (pauses, clones)."""

    def setup(self, *, objective: Objective, space: ParamSpace, seed: int) -> None:
        """Prepare for an experiment; called before anything else, on resume before `load_state`.

        Args:
            objective: The metric and its direction.
            space: The search space, for schedulers that change configurations.
            seed: The experiment's seed, for a scheduler whose own `seed` is None.
        """

    def next_decision(self, trial: Trial) -> int | None:
        """Return the iteration (> `trial.iteration`) of the trial's next decision point; None: never.

        The trial trains up to it without waiting for a decision. The default, the next iteration, is always
        valid.
        """
        return trial.iteration + 1

    def on_trial_add(self, trial: Trial) -> None:
        """Process a trial that was added; it is PENDING.

        A trial that has completed or failed is added again when the user extends the experiment or retries
        failed trials; it then continues after `trial.iteration`, or starts from scratch (0).
        """

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        """Decide what happens to `trial` after `result`, which it already includes.

        Called for every iteration, in order. Decisions other than CONTINUE are allowed only at the iteration
        that `next_decision` returned.
        """
        del trial, result
        return CONTINUE

    def on_trial_complete(self, trial: Trial) -> None:
        """Process a trial that completed or was stopped; `trial.last_result` is its final result or None."""

    def on_trial_error(self, trial: Trial, *, final: bool) -> None:
        """Process a failure of the trial, which is retried unless `final`."""

    def on_no_new_trials(self) -> None:
        """Decide with the trials there are: no new one will come, or none before a paused one continues."""

    def pending_decisions(self) -> Mapping[str, Decision]:
        """Return decisions about other trials, by id; called after each of the `on_...` methods above."""
        return {}

    def choose_trial_to_run(self, candidates: Sequence[Trial]) -> str | None:
        """Return the id of the trial that gets a free slot, or None to leave it free.

        Not called while a trial that lost its slot to a fault or with its driver is waiting: it runs first.

        Args:
            candidates: All PENDING and PAUSED trials, oldest first; at least one.
        """
        pending = (trial for trial in candidates if trial.status is TrialStatus.PENDING)
        return next(pending, candidates[0]).trial_id
