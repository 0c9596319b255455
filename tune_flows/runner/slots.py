"""Chooses the trial that gets a free slot: a waiting one, or a new one from the search algorithm."""

from tune_flows.core.decisions import SearchExhausted, TrialSuggested
from tune_flows.core.errors import PolicyError
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.runner.completion import TrialCompletion
from tune_flows.runner.dispatch import Dispatcher
from tune_flows.runner.policy_calls import Policies
from tune_flows.runner.step_builder import StepBuilder
from tune_flows.search.base import Finished

__all__ = ["Slots"]


class Slots:
    """Fills the executor's slots.

    Args:
        builder: The current loop iteration.
        policies: Asked for configurations, and for the trial that runs next.
        dispatcher: Launches the trials.
        completion: Asks the scheduler about paused trials when no new ones come.
    """

    def __init__(
        self, builder: StepBuilder, policies: Policies, dispatcher: Dispatcher, completion: TrialCompletion
    ) -> None:
        self._builder = builder
        self._policies = policies
        self._dispatcher = dispatcher
        self._completion = completion

    def fill(self) -> None:
        """Give every free slot to a trial, as long as there is one that may run.

        Raises:
            PolicyError: No trial is running and none may start, but the experiment is not over. Final.
        """
        state = self._builder.state
        limit = min(state.slots, state.rules.max_concurrent_trials or state.slots)
        running = sum(trial.status is TrialStatus.RUNNING for trial in state.live_trials())
        while running < limit and self._fill_one(alone=running == 0):
            running += 1

    def _fill_one(self, *, alone: bool) -> bool:
        chosen = self._next()
        if chosen is None and alone and self._is_unfinished:
            self._completion.no_new_trials()
            chosen = self._next()
        launched = self._dispatcher.launch(chosen)
        if not launched and alone and self._is_unfinished and not self._builder.replayed.is_replay:
            raise PolicyError(
                f"No trial is running, {self._policies.search_alg.kind()} suggests nothing and "
                f"{self._policies.scheduler.kind()} chose none of the "
                f"{len(self._builder.state.live)} waiting "
                "trial(s): the experiment cannot go on."
            )
        return launched

    @property
    def _is_unfinished(self) -> bool:
        return bool(self._builder.state.live) or self._builder.state.may_create

    def _next(self) -> Trial | None:
        """Return the trial that runs next, a new one if none is PENDING; None: no trial may run."""
        if not any(trial.status is TrialStatus.PENDING for trial in self._builder.state.live_trials()):
            self._suggest()
        if not self._builder.state.may_create:
            self._completion.no_new_trials()
        waiting = list(self._builder.state.waiting_trials())
        for trial in waiting:
            # It was told to stop and must still save its final checkpoint, or it lost the slot that it had.
            if trial.pending is not None or (trial.status is TrialStatus.PENDING and trial.lease > 0):
                return trial
        return self._policies.choose_trial_to_run(waiting) if waiting else None

    def _suggest(self) -> None:
        state = self._builder.state
        if not state.may_create:
            return
        trial_id = f"trial-{len(state.trials):05d}"
        answer = self._policies.suggest(trial_id)
        proposed: TrialSuggested | SearchExhausted | None = None
        if isinstance(answer, Finished):
            proposed = SearchExhausted()
        elif answer is not None:
            proposed = TrialSuggested(trial_id, answer)
        settled = self._builder.decide(proposed, TrialSuggested, SearchExhausted)
        if isinstance(settled, TrialSuggested):
            self._policies.on_trial_add(state.trials[settled.trial_id])
            self._completion.consult()
