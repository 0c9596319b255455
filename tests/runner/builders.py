"""Events and commands in few words: trials by number, lease 1 unless said otherwise."""

from tune_flows.core.commands import ContinueTrial, LaunchSegment, PauseTrial, StopTrial
from tune_flows.core.events import (
    CheckpointSaved,
    FaultKind,
    ResultsReported,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
)
from tune_flows.core.trial import CheckpointRef, Result


def name(number):
    return f"trial-{number:05d}"


def result(iteration, *, score=0.5, done=False, **metrics):
    if score is not None:
        metrics["score"] = score
    return Result(iteration, metrics, 1.0, float(iteration), 0.0, done)


def reported(number, *iterations, waits=True, lease=1, **metrics):
    results = tuple(result(iteration, **metrics) for iteration in iterations)
    return ResultsReported(name(number), lease, results, waits)


def done(number, iteration, lease=1, **metrics):
    return ResultsReported(name(number), lease, (result(iteration, done=True, **metrics),))


def ref(number, iteration, *, at=None):
    """A checkpoint that a trial saved at `iteration`; `at`: the iteration it stands for elsewhere."""
    return CheckpointRef(f"ckpt/{number}/{iteration}", iteration if at is None else at, "", 0)


def saved(number, iteration, lease=1):
    return CheckpointSaved(name(number), lease, ref(number, iteration))


def paused(number, lease=1):
    return TrialPaused(name(number), lease)


def completed(number, reason="returned", lease=1):
    return TrialCompleted(name(number), lease, reason)


def faulted(number, lease=1, *, infra=False):
    kind = FaultKind.INFRASTRUCTURE if infra else FaultKind.TRAINABLE
    return TrialFaulted(name(number), lease, kind, "boom")


def launch(number, until, *, lease=1, iteration=0, save_at=None, checkpoint=None, config=None):
    return LaunchSegment(
        trial_id=name(number),
        lease=lease,
        config={"x": number} if config is None else config,
        iteration=iteration,
        time_total_s=float(iteration),
        until=until,
        save_at=save_at,
        checkpoint=checkpoint,
    )


def go_on(number, until, *, lease=1, save_at=None, config=None, checkpoint=None):
    return ContinueTrial(name(number), lease, until, save_at, config, checkpoint)


def pause(number, *, lease=1, save=True):
    return PauseTrial(name(number), lease, save)


def stop(number, reason, lease=1):
    return StopTrial(name(number), lease, reason)
