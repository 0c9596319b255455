"""One record of every kind, with values that are hard on JSON."""

import math
from typing import Any, get_args

from tune_flows.core.decisions import (
    CheckpointDropped,
    DecisionRecord,
    ExperimentEnded,
    FaultJudged,
    Record,
    SearchExhausted,
    StopDecided,
    TrialContinued,
    TrialDecided,
    TrialLaunched,
    TrialOverruled,
    TrialSuggested,
)
from tune_flows.core.events import (
    CapacityChanged,
    CheckpointSaved,
    DriverStarted,
    DriverStopped,
    Event,
    ExperimentExtended,
    FaultKind,
    ResultsReported,
    RulesChanged,
    StopRequested,
    TrialCompleted,
    TrialFaulted,
    TrialPaused,
    TrialsReopened,
)
from tune_flows.core.rules import Rules
from tune_flows.core.trial import Action, CheckpointRef, Result

CONFIG: dict[str, Any] = {
    "lr": 1e-5,
    "model": {"layers": [64, 32], "name": "größe"},
    "off": None,
    "big": 2**70,
}
METRICS: dict[str, Any] = {
    "loss": math.nan,
    "best": math.inf,
    "worst": -math.inf,
    "exact": 0.1 + 0.2,
    "tiny": 5e-324,
    "zero": -0.0,
    "n": 3,
    "ok": True,
    "text": "a\nb",
    "none": None,
    "curve": [0.0, math.nan, {"deep": [math.inf]}],
}
CHECKPOINT = CheckpointRef("ckpt/trial-00000/1", 3, "ab" * 32, 10, {"loss": 0.1 + 0.2, "n": 3.0})

RECORDS: list[Record] = [
    DriverStarted(1, at=1_700_000_000.25),
    DriverStopped(1_700_000_100.5, "cancelled"),
    ExperimentExtended(None),
    ExperimentExtended(7),
    TrialsReopened(("trial-00000", "trial-00001")),
    TrialsReopened((), restart=True),
    RulesChanged(Rules(max_failures=-1, time_budget_s=0.5, num_to_keep=2, stop={"loss": math.inf})),
    CapacityChanged(4),
    ResultsReported(
        "trial-00000", 1, (Result(1, METRICS, 0.1, 0.1, 5.0), Result(2, {}, 0.5, 0.6, 6.0, done=True))
    ),
    ResultsReported("trial-00000", 1, (), waits=True),
    CheckpointSaved("trial-00000", 1, CHECKPOINT),
    TrialPaused("trial-00000", 1),
    TrialCompleted("trial-00000", 1, "returned"),
    TrialFaulted("trial-00000", 1, FaultKind.TRAINABLE, "boom", "Traceback\n  line"),
    TrialFaulted("trial-00000", 1, FaultKind.INFRASTRUCTURE, "node lost"),
    StopRequested("by hand"),
    TrialSuggested("trial-00000", CONFIG),
    SearchExhausted(),
    TrialLaunched("trial-00000", 2, None),
    TrialLaunched("trial-00000", 2, 9),
    TrialContinued("trial-00000", 27),
    TrialDecided("trial-00000", 3, Action.PAUSE, source="trial-00001", config=CONFIG),
    TrialDecided("trial-00000", 3, Action.STOP, "stopped by asha"),
    TrialOverruled("trial-00000", Action.STOP, "by hand"),
    FaultJudged("trial-00000", retry=True),
    CheckpointDropped("trial-00000", "ckpt/trial-00000/1"),
    StopDecided("time budget of 1 s spent"),
    ExperimentEnded("all trials done"),
]

KINDS: tuple[type, ...] = (*get_args(Event), *get_args(DecisionRecord))
