"""The work that both sides do: an empty trainable, so that only the tuner itself costs time."""

from dataclasses import dataclass

SCENARIOS = {
    "steps": "8 trials of 300 steps, workers reused",
    "steps_asha": "8 trials of 300 steps, ASHA, workers reused",
    "steps_each": "8 trials of 300 steps, a scheduler that decides at every step",
    "trials": "100 trials of 10 steps, workers reused",
    "fresh": "12 trials of 3 steps, a new process for each trial",
}


@dataclass(frozen=True)
class Work:
    """How much of what."""

    trials: int
    steps: int
    reuse: bool = True


WORK = {
    "steps": Work(8, 300),
    "steps_asha": Work(8, 300),
    "steps_each": Work(8, 300),
    "trials": Work(100, 10),
    "fresh": Work(12, 3, reuse=False),
}

BY_TRIALS = ("trials", "fresh")
"""Scenarios whose rate is one of trials, not of steps."""
