"""The protocol of trial executors: who carries out the runner's commands.

Rules of this module, which every executor keeps and the runner relies on:

- A lease is one trial's hold on one worker. It begins with `LaunchSegment` and ends with exactly one of
  `TrialPaused`, `TrialCompleted`, `TrialFaulted`; the worker is free once that event has been handed out.
- Acknowledgements: `LaunchSegment` and `ContinueTrial` by `ResultsReported(waits=True)`, unless the trial
  ends first; `PauseTrial` by `TrialPaused`; `StopTrial` by `TrialCompleted` with its reason.
- A trial that ends by itself before it has heard of a pause or a stop reports its own end instead. A command
  for a lease that is over is void: the end has been reported already.
- Events of one trial come in the order in which they happened. A `CheckpointSaved` that is there in time
  comes right before the `ResultsReported` that begins with the result of its iteration, in the same list of
  events; at `save_at` it always does. An upload that takes longer comes after results of later iterations,
  and a checkpoint saved at a pause or a stop after all results; both come before the end of the lease. None
  comes in an earlier list than the result of its iteration.
- Pause and stop reach a training trial between two steps; the results of all steps that were done come first.
- `stop` ends every lease in order, for a session that the next one carries on: without an end of the lease as
  event, because `DriverStopped` is one for all. A pause or a stop that was ordered before is carried out as
  such, if there is time.
- An executor never holds more leases than the slots it announced. Where their number may change it tells so
  by `CapacityChanged`; leases that are held then go on, even beyond fewer slots, or fault.
- A launch with a delay is a lease from the beginning, but takes a worker only when the delay is over.
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

    Nothing of it survives a restart of the driver: leases end with it, commands follow from the journal.
    """

    async def start(self) -> int:
        """Make ready; how many trials fit at a time (slots, 1 or more).

        Raises:
            ResourcesUnavailable: There is no place that can ever hold one trial. Final.
        """
        ...

    def submit(self, command: TrialCommand) -> None:
        """Take an order; never blocks, what comes of it is an event.

        Raises:
            InvalidTransition: The order cannot be meant: more launches than slots, `ContinueTrial` for a
                trial that does not wait. A bug of ours. Final.
        """
        ...

    async def next_events(self) -> list[Event]:
        """Everything that has happened since the last call, in order; waits until there is something.

        A call that is cancelled loses nothing.
        """
        ...

    async def stop(self, grace_s: float) -> list[Event]:
        """End every lease between two steps, with a checkpoint where the trial can save one.

        What does not come to the end of its step, or is not saved, within `grace_s` seconds is given up.
        `shutdown` comes next, no other call.

        Returns:
            Everything that has happened since the last call of `next_events`, in order; the checkpoints that
            were saved only for this are `interim`.
        """
        ...

    async def shutdown(self) -> None:
        """End every lease and free all that was taken, without further events; may be called at any time."""
        ...


def events_of(trial_id: str, lease: int, batch: Batch) -> list[Event]:
    """What a batch of a worker means, but for the end of the lease: results, and checkpoints among them."""
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
    """What `TrialHost.suspend` says, as events."""
    events: list[Event] = [CheckpointSaved(trial_id, lease, checkpoint) for checkpoint in arrived]
    if interim is not None:
        events.append(CheckpointSaved(trial_id, lease, interim, interim=True))
    return events
