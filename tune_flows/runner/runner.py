"""The driver's decision logic: `TrialRunner.step(events, now) -> Step`, a pure function of the journal.

Rules of this module:

- No I/O, clock or randomness here: events and the time come in, records and commands go out.
- `Step.records` is what was applied to the state, in order, so folding the journal gives the live state.
- Policies are notified in the order of the journal, and only of what it contains.
- A step without records calls no policy: a call that leaves no record would be missing on replay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tune_flows.core.codec import partition, state_from_json, state_to_json
from tune_flows.core.commands import Command, DeleteCheckpoint
from tune_flows.core.decisions import (
    Decision,
    ExperimentEnded,
    FaultJudged,
    Record,
    StopDecided,
    TrialDecided,
)
from tune_flows.core.errors import PolicyError
from tune_flows.core.events import (
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    Event,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialsReopened,
)
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, Result, Trial
from tune_flows.runner.budgets import may_retry
from tune_flows.runner.checkpoint_gc import CheckpointGC
from tune_flows.runner.completion import TrialCompletion
from tune_flows.runner.dispatch import Dispatcher
from tune_flows.runner.policy_calls import Policies
from tune_flows.runner.slots import Slots
from tune_flows.runner.step_builder import StepBuilder
from tune_flows.schedulers.base import TrialScheduler
from tune_flows.search.base import SearchAlg

__all__ = ["Rules", "RunnerSnapshot", "Step", "TrialRunner"]


@dataclass(frozen=True, slots=True)
class Step:
    """Result of one loop iteration: records to make durable, and commands to carry out after that."""

    records: tuple[Record, ...]
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class RunnerSnapshot:
    """The state of a runner between two steps, as a copy that does not change with the runner."""

    state: ExperimentState
    search_alg: dict[str, Any]
    """Result of its `dump_state`."""
    scheduler: dict[str, Any]
    """Result of its `dump_state`."""

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as a JSON object."""
        return {
            "state": state_to_json(self.state),
            "search_alg": self.search_alg,
            "scheduler": self.scheduler,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunnerSnapshot":
        """Return the snapshot that `to_json` wrote.

        Raises:
            CorruptJournalError: This version cannot read the state.
        """
        return cls(state_from_json(data["state"]), data["search_alg"], data["scheduler"])


class TrialRunner:
    """Decides what the driver does next.

    Args:
        search_alg: Set up already, or with its state loaded.
        scheduler: Set up already, or with its state loaded.
        objective: The metric and its direction.
        rules: Limits and budgets until the first `RulesChanged`.
        state: State of the experiment, with its rules; None: a new experiment.
    """

    def __init__(
        self,
        *,
        search_alg: SearchAlg,
        scheduler: TrialScheduler,
        objective: Objective,
        rules: Rules | None = None,
        state: ExperimentState | None = None,
    ) -> None:
        self.state = state if state is not None else ExperimentState(rules=rules or Rules())
        self._builder = StepBuilder(self.state)
        self._policies = Policies(search_alg, scheduler)
        self._checkpoint_gc = CheckpointGC(self._builder)
        self._dispatcher = Dispatcher(self._builder, self._policies)
        self._completion = TrialCompletion(self._builder, self._policies, self._dispatcher, objective)
        self._slots = Slots(self._builder, self._policies, self._dispatcher, self._completion)

    def snapshot(self) -> RunnerSnapshot:
        """Return everything another runner needs to continue from here.

        Raises:
            PolicyError: The state of a policy cannot be dumped; the policy is unchanged.
        """
        search_alg, scheduler = self._policies.dumped()
        return RunnerSnapshot(self.state.copy(), search_alg, scheduler)

    @property
    def differences(self) -> Sequence[str]:
        """Where `replay` found that today's policies decide differently, each with the policy's name."""
        return [f"{self._policies.whose(found)}: {found}" for found in self._builder.replayed.differences]

    def step(self, events: Sequence[Event], now: float) -> Step:
        """Process the events and return the resulting records and commands.

        Args:
            events: In the order in which they happened; may be empty.
            now: Unix time in seconds.

        Raises:
            PolicyError: A policy raised, broke its contract, or left no trial to run although the experiment
                is not over. Final.
            MetricNotReported: A trial ended and the metric was never reported. Final.
        """
        builder = self._builder
        builder.begin()
        for event in events:
            self._on_event(event)
        self._spend_time(now)
        if builder.records:
            self.state.at(now)
            self._go_on()
        return Step(tuple(builder.records), tuple(filter(self._is_due, builder.commands)))

    def replay(self, records: Sequence[Record], now: float) -> None:
        """Replay a recorded loop iteration, which brings state and policies to where they were after it."""
        events, decisions = partition(records)
        self._builder.replayed.load(decisions)
        try:
            self.step(events, now)
        finally:
            left = self._builder.replayed.unload()
        for record in left:
            self._builder.catch_up(record)
        self.state.at(now)

    def seconds_to_deadline(self, now: float) -> float | None:
        """Return the seconds from `now` (Unix time) until the time budget is spent; None: no deadline."""
        budget = self.state.rules.time_budget_s
        if budget is None or self.state.stopping is not None:
            return None
        return max(0.0, budget - self.state.elapsed_at(now))

    # -- events ------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TrialsReopened):
            self._on_trials_reopened(event)
            return
        before = self.state.holder(getattr(event, "trial_id", ""), getattr(event, "lease", 0))
        self._builder.apply(event)
        if isinstance(event, DriverStarted):
            for trial in list(self.state.waiting_trials()):
                self._completion.lost(trial)
        if isinstance(event, DriverStopped):
            for trial in list(self.state.live_trials()):
                self._checkpoint_gc.drop_surplus(trial.trial_id)
        if before is None:
            return
        self._on_event_of(before, event)
        after = self.state.trials[before.trial_id]
        if before.interim not in (None, after.interim, *after.checkpoints):
            self._checkpoint_gc.delete_unneeded((before.interim,))

    def _on_event_of(self, before: Trial, event: Event) -> None:
        """Process an event of a trial that holds a worker."""
        match event:
            case ResultsReported():
                self._on_results_reported(event)
            case CheckpointSaved():
                self._checkpoint_gc.drop_surplus(event.trial_id)
            case TrialCompleted() if before.pending is not Action.STOP:
                self._completion.complete(self.state.trials[event.trial_id])
            case TrialFaulted():
                self._on_trial_faulted(before, event)
            case _:
                pass

    def _on_trials_reopened(self, event: TrialsReopened) -> None:
        known = (self.state.trials.get(trial_id) for trial_id in event.trial_ids)
        over = [trial for trial in known if trial is not None and trial.is_over]
        self._builder.apply(event)
        for trial in over:
            if event.restart:
                self._checkpoint_gc.delete_unneeded(
                    (*trial.kept, *([trial.interim] if trial.interim else ()))
                )
            self._policies.on_trial_add(self.state.trials[trial.trial_id])
            self._completion.consult()

    def _on_results_reported(self, event: ResultsReported) -> None:
        for result in self.state.fresh(event):
            is_over = self.state.trials[event.trial_id].pending is Action.STOP
            trial = self.state.apply_result(event.trial_id, result)
            if is_over:
                continue  # reported before the stop arrived; the policies know of its end
            if result.done:
                self._completion.complete(trial)
            else:
                self._on_trial_result(trial, result)
        if event.waits:
            self._dispatcher.send_on(self.state.trials[event.trial_id])

    def _on_trial_result(self, trial: Trial, result: Result) -> None:
        proposed = self._as_record(trial, self._policies.on_trial_result(trial, result))
        decided = self._builder.decide(
            proposed, TrialDecided, trial_id=trial.trial_id, iteration=result.iteration
        )
        if decided is not None and decided.source is not None:
            self._dispatcher.as_clone(trial)
            if self.state.rules.num_to_keep is not None:
                self._checkpoint_gc.delete_unneeded(trial.kept)
        if decided is not None and decided.action is Action.STOP:
            self._completion.complete(self.state.trials[trial.trial_id])
        else:
            self._completion.consult()

    def _as_record(self, trial: Trial, decision: Decision) -> TrialDecided | None:
        """Return the record of the decision, with YIELD resolved; None if nothing changes for the trial."""
        action = decision.action
        if action is Action.YIELD:
            others = any(other.trial_id != trial.trial_id for other in self.state.waiting_trials())
            action = Action.PAUSE if others or self.state.may_create else Action.CONTINUE
        if action is Action.STOP:
            reason = f"stopped by {self._policies.scheduler.kind()}"
            return TrialDecided(trial.trial_id, trial.iteration, action, reason)
        is_told = trial.pending is Action.PAUSE
        source_id = decision.source or (trial.trial_id if decision.config is not None else None)
        decided = TrialDecided(trial.trial_id, trial.iteration, Action.PAUSE if is_told else action)
        if source_id is not None and self._source(source_id).checkpoint is not None:
            config = trial.config if decision.config is None else decision.config
            return replace(decided, source=source_id, config=config)
        return None if is_told or action is Action.CONTINUE else decided

    def _source(self, trial_id: str) -> Trial:
        if trial_id not in self.state.trials:
            scheduler = self._policies.scheduler.kind()
            raise PolicyError(f"{scheduler}: got exploit({trial_id!r}), expected the id of a trial.")
        return self.state.trials[trial_id]

    def _on_trial_faulted(self, before: Trial, event: TrialFaulted) -> None:
        trial, rules = self.state.trials[event.trial_id], self.state.rules
        self._dispatcher.hold_off(trial)
        # for a trial that was told to stop, only the worker's confirmation of the stop is lost
        is_through = event.kind is not FaultKind.TRAINABLE and self._completion.is_through(trial)
        proposed = FaultJudged(trial.trial_id, retry=is_through or may_retry(event.kind, trial, rules))
        judged = self._builder.decide(proposed, FaultJudged, trial_id=trial.trial_id)
        if judged is None:
            return
        if judged.retry and event.kind is FaultKind.RESTORE:
            self._checkpoint_gc.give_up_start(before)
        self._completion.lost(self.state.trials[trial.trial_id])
        if trial.pending is not Action.STOP:
            self._policies.on_trial_error(self.state.trials[trial.trial_id], final=not judged.retry)
            self._completion.consult()
        if not judged.retry and rules.fail_fast and self.state.stopping is None:
            self._builder.decide(StopDecided(f"fail_fast: {trial.trial_id} failed"), StopDecided)

    # -- next steps --------------------------------------------------------------------------

    def _is_due(self, command: Command) -> bool:
        """Return whether its lease is still held; a worker may end right after its decision point."""
        if isinstance(command, DeleteCheckpoint):
            return True
        return self.state.holder(command.trial_id, command.lease) is not None

    def _spend_time(self, now: float) -> None:
        budget, state = self.state.rules.time_budget_s, self.state
        if budget is None or state.stopping is not None or state.ended is not None:
            return
        if state.elapsed_at(now) >= budget:
            self._builder.decide(StopDecided(f"time budget of {budget:g} s spent"), StopDecided)

    def _go_on(self) -> None:
        state = self.state
        if state.ended is not None:
            return
        if state.stopped is None:
            if state.stopping is not None:
                self._completion.stop_all(state.stopping)
            else:
                self._slots.fill()
        if not state.live and not state.may_create:
            self._completion.require_metric(state.trials.values())
            reason = "search exhausted" if state.exhausted else "all trials done"
            self._builder.decide(ExperimentEnded(state.stopping or reason), ExperimentEnded)
