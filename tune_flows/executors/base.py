"""The protocol of trial executors, which carry out the runner's commands.

Rules that every executor follows and the runner relies on:

- A lease is one trial's hold on one worker. It begins with `LaunchSegment` and ends with exactly one of
  `TrialPaused`, `TrialCompleted`, `TrialFaulted`; the worker is free once that event has been handed out.
- Acknowledgements: `LaunchSegment` and `ContinueTrial` by `ResultsReported(waits=True)`, unless the trial
  ends first; `PauseTrial` by `TrialPaused`; `StopTrial` by `TrialCompleted` with its reason.
- A trial that ends by itself before it receives a pause or a stop reports that end instead. A command for a
  lease that is over is ignored, since the end has already been reported.
- Events of one trial come in the order in which they happened. A `CheckpointSaved` that is ready in time
  comes right before the `ResultsReported` that begins with the result of its iteration, in the same list of
  events; at `save_at` this is always so. If the upload takes longer, the event comes after results of later
  iterations. A checkpoint saved at a pause or a stop comes after all results. All come before the end of the
  lease, and none in an earlier list than the result of its iteration.
- A training trial is paused or stopped between two steps; the results of all completed steps come first.
- `stop` ends every lease in order, so that the next session can resume the trials. It emits no event for the
  end of a lease, because `DriverStopped` covers all leases. A pause or a stop ordered earlier is still
  carried out as such, if there is time.
- An executor never holds more leases than the slots it announced. It reports a new number of slots by
  `CapacityChanged`; leases held at that time continue, even if they exceed the new number, or fault.
- A launch with a delay holds a lease at once, but takes a worker only when the delay is over.
"""

from collections.abc import Sequence
from typing import Protocol

from tune_flows.core.commands import TrialCommand
from tune_flows.core.events import CheckpointSaved, Event, ResultsReported
from tune_flows.core.trial import CheckpointRef, Result
from tune_flows.worker.messages import Batch, Outcome

__all__ = ["TrialExecutor", "events_of", "saved_at_stop"]


class TrialExecutor(Protocol):
    """Starts, pauses, resumes and stops trials, and knows how many fit at a time.

    It keeps no state across a restart of the driver: leases end, and commands follow from the journal.
    """

    async def start(self) -> int:
        """Prepare the executor, and return how many trials fit at a time (slots, 1 or more).

        Raises:
            ResourcesUnavailable: No trial can ever fit. Final.
        """
        ...

    def submit(self, command: TrialCommand) -> None:
        """Accept a command without blocking; its outcome is reported as an event.

        Raises:
            InvalidTransition: The command is invalid: more launches than slots, or `ContinueTrial` for a
                trial that does not wait. A bug of ours. Final.
        """
        ...

    async def next_events(self) -> list[Event]:
        """Wait for events, and return all since the last call, in order.

        A cancelled call loses no events.
        """
        ...

    async def stop(self, grace_s: float) -> list[Event]:
        """End every lease between two steps, with a checkpoint where the trial can save one.

        A trial that does not finish its step, or is not saved, within `grace_s` seconds is abandoned.
        Afterwards only `shutdown` may be called.

        Returns:
            All events since the last call of `next_events`, in order; checkpoints saved only because of this
            stop are `interim`.
        """
        ...

    async def shutdown(self) -> None:
        """End every lease and free all resources, without further events; may be called at any time."""
        ...


def events_of(trial_id: str, lease: int, batch: Batch) -> list[Event]:
    """Convert a worker's batch to events: results and checkpoints, without the end of the lease."""
    events: list[Event] = []
    rest: tuple[Result, ...] = batch.results
    for checkpoint in batch.checkpoints:
        before = sum(result.iteration < checkpoint.iteration for result in rest)
        if before:
            events.append(ResultsReported(trial_id, lease, rest[:before]))
            rest = rest[before:]
        events.append(CheckpointSaved(trial_id, lease, checkpoint))
    waits = batch.outcome is Outcome.WAITS
    if rest or waits:
        events.append(ResultsReported(trial_id, lease, rest, waits))
    return events


def saved_at_stop(
    trial_id: str, lease: int, arrived: Sequence[CheckpointRef], interim: CheckpointRef | None
) -> list[Event]:
    """Convert the return values of `TrialHost.suspend` to events."""
    events: list[Event] = [CheckpointSaved(trial_id, lease, checkpoint) for checkpoint in arrived]
    if interim is not None:
        events.append(CheckpointSaved(trial_id, lease, interim, interim=True))
    return events
