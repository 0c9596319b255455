"""The training steps that were under way when a simulation was interrupted.

A real crash costs time, because steps are repeated. Steps resumed from here cost no additional virtual time,
so that the simulation has the same outcome as without the interruption.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tune_flows.core.decisions import Record, TrialLaunched
from tune_flows.core.events import ResultsReported, TrialFaulted
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Action, Trial, TrialStatus

__all__ = ["StepInFlight", "steps_under_way"]


@dataclass(frozen=True, slots=True)
class StepInFlight:
    """Where a trial stood when the training step under way began."""

    since: float
    """Virtual time, in Unix seconds."""
    iteration: int
    """Iterations completed by then."""


def steps_under_way(
    history: Iterable[tuple[float, Sequence[Record]]],
) -> dict[str, StepInFlight]:
    """Return, by trial, the step under way at the end of a history, for `SimulatedExecutor`.

    A step began with the newest journalled result of its trial, or with the launch if there is no result
    since. A trial held by a driver that ended is still taking its step, however many drivers have ended.

    Args:
        history: The loop iterations of a journal, from its beginning (`experiment.history`).
    """
    state = ExperimentState()
    steps: dict[str, StepInFlight] = {}
    for at, records in history:
        for record in records:
            _begin(steps, state, record, at)
            state.apply(record)
            steps = {i: step for i, step in steps.items() if i in state.held or _trains(state.trials[i])}
    return steps


def _trains(trial: Trial) -> bool:
    """Return whether the trial holds a worker, or did when its driver died, and has no pending pause."""
    return trial.status in (TrialStatus.RUNNING, TrialStatus.PENDING) and trial.pending is not Action.PAUSE


def _begin(steps: dict[str, StepInFlight], state: ExperimentState, record: Record, at: float) -> None:
    match record:
        case ResultsReported():
            for result in state.fresh(record)[-1:]:
                steps[record.trial_id] = StepInFlight(result.timestamp, result.iteration)
        case TrialFaulted() if state.holder(record.trial_id, record.lease):
            steps.pop(record.trial_id, None)  # a retry begins a new step
        case TrialLaunched():
            checkpoint = state.trials[record.trial_id].start
            steps.setdefault(record.trial_id, StepInFlight(at, checkpoint.iteration if checkpoint else 0))
        case _:
            pass
