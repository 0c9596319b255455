"""Turns decisions into commands to the workers of running trials; each lease is ended once.

Rules of this module:

- A command is sent when the trial waits at its decision point, or at once if it was overruled before that.
- Which commands were sent is kept in memory by lease, not stored: leases end with the driver, and a trial
  that is launched again gets new commands.
"""

from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.decisions import TrialContinued, TrialLaunched
from tune_flows.core.trial import Action, Trial
from tune_flows.runner.backoff import Backoff
from tune_flows.runner.policy_calls import Policies
from tune_flows.runner.step_builder import StepBuilder

__all__ = ["Dispatcher"]


class Dispatcher:
    """Launches trials, continues them and ends their leases.

    Args:
        builder: Collects the records and commands of the current loop iteration.
        policies: Asked how far a trial trains.
    """

    def __init__(self, builder: StepBuilder, policies: Policies) -> None:
        self._builder = builder
        self._policies = policies
        self._backoff = Backoff()
        self._ended: dict[str, int] = {}
        """For each trial, the lease that was told to pause or to stop."""
        self._clones: dict[str, int] = {}
        """For each trial, the lease whose worker does not know yet that it continues as a copy of another."""

    def launch(self, trial: Trial | None) -> bool:
        """Launch the trial, if any (on replay: the recorded one); return whether one was launched."""
        proposed = save_at = None
        if trial is not None:
            # A trial that was told to stop is launched only to save a checkpoint at its last iteration.
            until, save_at = (trial.iteration, None) if trial.pending else self._next_stretch(trial)
            proposed = TrialLaunched(trial.trial_id, trial.lease + 1, until)
        launched = self._builder.decide(proposed, TrialLaunched)
        if launched is None:
            return False
        trial = self._builder.state.trials[launched.trial_id]
        self._builder.emit(
            LaunchSegment(
                trial_id=trial.trial_id,
                lease=trial.lease,
                config=trial.config,
                iteration=trial.iteration,
                time_total_s=trial.last_result.time_total_s if trial.last_result else 0.0,
                until=launched.until,
                save_at=save_at,
                checkpoint=trial.start,
                delay_s=self._backoff.delay_s(trial, self._builder.state.rules.retry_delay_s),
            )
        )
        return True

    def hold_off(self, trial: Trial) -> None:
        """Delay the next launch of the trial, which faulted."""
        self._backoff.note(trial)

    def as_clone(self, trial: Trial) -> None:
        """Note that the trial became a copy of another one; the next `ContinueTrial` tells its worker."""
        self._clones[trial.trial_id] = trial.lease

    def send_on(self, trial: Trial) -> None:
        """End the lease of a worker at its decision point if that was decided, else let it train on.

        A duplicate of the event has no effect: the trial was already continued beyond this point.
        """
        if trial.pending is not None:
            self.end(trial, save=not trial.is_saved)
        elif trial.until is not None and trial.iteration >= trial.until:
            self._go_on(trial)

    def end(self, trial: Trial, *, save: bool = True) -> None:
        """Send the command for the pending PAUSE or STOP.

        A worker that was told to pause is not told to stop as well: it becomes free soon either way.

        Args:
            trial: A running trial.
            save: Whether a pause saves a checkpoint; an interrupted worker may be ahead of `trial.iteration`.
        """
        if self._ended.get(trial.trial_id) == trial.lease:
            return
        self._ended[trial.trial_id] = trial.lease
        if trial.pending is Action.STOP:
            self._builder.emit(StopTrial(trial.trial_id, trial.lease, trial.reason or "stopped"))
        else:
            self._builder.emit(PauseTrial(trial.trial_id, trial.lease, save))

    def _go_on(self, trial: Trial) -> None:
        until, save_at = self._next_stretch(trial)
        proposed = TrialContinued(trial.trial_id, until)
        continued = self._builder.decide(proposed, TrialContinued, trial_id=trial.trial_id)
        if continued is None:
            return
        is_clone = self._clones.pop(trial.trial_id, None) == trial.lease
        config, checkpoint = (trial.config, trial.checkpoint) if is_clone else (None, None)
        self._builder.emit(
            ContinueTrial(trial.trial_id, trial.lease, continued.until, save_at, config, checkpoint)
        )

    def _next_stretch(self, trial: Trial) -> tuple[int | None, int | None]:
        """Return the iterations of the next decision point and of the checkpoint it requires; None: none."""
        asked = self._policies.next_decision(trial)
        save_at = asked if self._policies.scheduler.saves_at_decisions else None
        cap = self._builder.state.rules.max_steps_per_task
        if cap is None:
            return asked, save_at
        capped = trial.iteration + cap
        return (capped if asked is None else min(asked, capped)), save_at
