"""A runner on a desk: events are fed by hand, policies say what they were told to say.

After every step the records, sent through JSON, are folded and compared with the live state; `replayed` lives
the whole journal again and compares state and policies.
"""

import json
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr

from tune_flows.core.codec import record_from_json, record_to_json
from tune_flows.core.decisions import CONTINUE, Decision
from tune_flows.core.events import CapacityChanged, DriverStarted, ExperimentExtended, RulesChanged
from tune_flows.core.objective import Objective
from tune_flows.core.rules import Rules
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import Trial, TrialStatus
from tune_flows.runner.runner import RunnerSnapshot, Step, TrialRunner
from tune_flows.schedulers import TrialScheduler
from tune_flows.search import FINISHED, SearchAlg

SPACE = ParamSpace.parse({"x": 0})
OBJECTIVE = Objective("score")


class ScriptedSearch(SearchAlg):
    """Suggests {"x": number of the trial}; with `total` it says FINISHED after so many, None where told."""

    total: int | None = None
    silent_at: list[int] = Field(default=[])
    """Questions (from 0) that get None."""

    _asked: int = PrivateAttr(default=0)
    _heard: list[str] = PrivateAttr(default_factory=list)

    def setup(self, *, space, objective, seed):
        pass

    def suggest(self, trial_id):
        self._asked += 1
        if self._asked - 1 in self.silent_at:
            return None
        number = int(trial_id.removeprefix("trial-"))
        return FINISHED if self.total is not None and number >= self.total else {"x": number}

    def on_trial_result(self, trial, result):
        self._heard.append(f"result {_number(trial)} {result.iteration}")

    def on_trial_complete(self, trial):
        self._heard.append(f"complete {_number(trial)}")

    def on_trial_error(self, trial):
        self._heard.append(f"error {_number(trial)}")


class ScriptedScheduler(TrialScheduler):
    """Decides what is written in its class attributes, so that a test may hand it anything."""

    every: int | None = 1
    """Iterations between decisions; None: it never decides."""

    says: ClassVar[dict[tuple[int, int], Any]] = {}
    """By (trial number, iteration)."""
    others: ClassVar[dict[str, dict[str, Any]]] = {}
    """What `pending_decisions` answers, by the last thing heard; once."""
    resumes: ClassVar[list[int] | None] = None
    """Numbers of the paused trials that may be resumed; None: all."""

    _heard: list[str] = PrivateAttr(default_factory=list)
    _told: list[str] = PrivateAttr(default_factory=list)

    def next_decision(self, trial):
        return None if self.every is None else (trial.iteration // self.every + 1) * self.every

    def on_trial_add(self, trial):
        self._heard.append(f"add {_number(trial)}")

    def on_trial_result(self, trial, result):
        self._heard.append(f"result {_number(trial)} {result.iteration}")
        return self.says.get((_number(trial), result.iteration), CONTINUE)

    def on_trial_complete(self, trial):
        self._heard.append(f"complete {_number(trial)}")

    def on_trial_error(self, trial, *, final):
        self._heard.append(f"{'final' if final else 'passing'} error {_number(trial)}")

    def on_no_new_trials(self):
        self._heard.append("no new trials")

    def pending_decisions(self):
        last = self._heard[-1] if self._heard else ""
        if last in self._told:
            return {}
        self._told.append(last)
        return self.others.get(last, {})

    def choose_trial_to_run(self, candidates):
        may_run = [
            trial
            for trial in candidates
            if self.resumes is None or trial.status is TrialStatus.PENDING or _number(trial) in self.resumes
        ]
        return super().choose_trial_to_run(may_run) if may_run else None


def scripted(
    *,
    every: int | None = 1,
    says: dict[tuple[int, int], Decision] | None = None,
    others: dict[str, dict[str, Decision]] | None = None,
    resumes: list[int] | None = None,
    saves: bool = False,
) -> TrialScheduler:
    """A scheduler that decides just that."""
    kind = type(
        "Scripted",
        (ScriptedScheduler,),
        {
            "says": says or {},
            "others": others or {},
            "resumes": resumes,
            "saves_at_decisions": saves,
            "__module__": __name__,
            "__annotations__": {},
        },
    )
    return kind(every=every)


def _number(trial: Trial) -> int:
    return int(trial.trial_id.removeprefix("trial-"))


def assert_same(one: ExperimentState, other: ExperimentState) -> None:
    """Equal, NaN included."""
    assert one == other or repr(one) == repr(other)


class RunnerHarness:
    """A runner whose every step is checked.

    Args:
        scheduler: Not set up.
        search: Not set up.
        rules: The rules of the first session.
        slots: Room for trials.
        target: Trials in all.
    """

    def __init__(
        self,
        scheduler: TrialScheduler | None = None,
        search: SearchAlg | None = None,
        *,
        rules: Rules | None = None,
        slots: int = 2,
        target: int | None = 2,
        objective: Objective = OBJECTIVE,
        space: ParamSpace = SPACE,
        start: bool = True,
    ) -> None:
        self.scheduler = scheduler if scheduler is not None else scripted()
        self.search = search if search is not None else ScriptedSearch()
        self.objective, self.space = objective, space
        self.journal: list[tuple[float, list[str]]] = []
        self.snapshots: dict[int, str] = {}
        """By the length of the journal that it stands for."""
        self.folded = ExperimentState()
        self.now = 100.0
        self._fresh = self.search.fresh(), self.scheduler.fresh()
        self.runner = self._runner(self.search, self.scheduler)
        self._opening = [ExperimentExtended(target), CapacityChanged(slots)]
        if rules is not None:
            self._opening.insert(0, RulesChanged(rules))
        if start:
            self.start()

    def start(self) -> Step:
        """The first step of the first session."""
        return self.step(DriverStarted(1, self.now), *self._opening, seconds=0.0)

    @property
    def state(self) -> ExperimentState:
        return self.runner.state

    def trial(self, number: int) -> Trial:
        return self.state.trials[f"trial-{number:05d}"]

    def step(self, *events: Any, seconds: float = 1.0) -> Step:
        """One loop iteration, `seconds` after the one before."""
        self.now += seconds
        step = self.runner.step(events, self.now)
        if step.records:
            lines = [json.dumps(record_to_json(record), allow_nan=False) for record in step.records]
            self.journal.append((self.now, lines))
            for line in lines:
                self.folded.apply(record_from_json(json.loads(line)))
            self.folded.at(self.now)
            if len(self.journal) & (len(self.journal) - 1) == 0:
                snapshot = self.runner.snapshot().to_json()
                self.snapshots[len(self.journal)] = json.dumps(snapshot, allow_nan=False)
        assert_same(self.folded, self.state)
        return step

    def commands(self, *events: Any, seconds: float = 1.0) -> list[Any]:
        """What one loop iteration orders."""
        return list(self.step(*events, seconds=seconds).commands)

    def replayed(self) -> None:
        """New runners that live the journal again, whole or from a snapshot on, come to stand here too."""
        for length in (0, *self.snapshots):
            runner, search, scheduler = self._resumed(length)
            assert_same(runner.state, self.state)
            assert search.dump_state() == self.search.dump_state()
            assert scheduler.dump_state() == self.scheduler.dump_state()

    def restart(self) -> list[Any]:
        """The driver dies, another one takes over; what that one orders first."""
        self.runner, self.search, self.scheduler = self._resumed(max(self.snapshots))
        assert_same(self.runner.state, self.folded)
        slots = CapacityChanged(self.state.slots)
        return self.commands(DriverStarted(self.state.epoch + 1, self.now + 1000.0), slots, seconds=1000.0)

    def _resumed(self, length: int) -> tuple[TrialRunner, SearchAlg, TrialScheduler]:
        """A runner at the end of the journal, from the snapshot after so many entries on; 0: from none."""
        search, scheduler = (policy.fresh() for policy in self._fresh)
        state = None
        if length:
            snapshot = RunnerSnapshot.from_json(json.loads(self.snapshots[length]))
            state = snapshot.state
        runner = self._runner(search, scheduler, state)
        if length:
            search.load_state(snapshot.search_alg)
            scheduler.load_state(snapshot.scheduler)
        for at, lines in self.journal[length:]:
            runner.replay([record_from_json(json.loads(line)) for line in lines], at)
        assert not runner.differences, runner.differences
        return runner, search, scheduler

    def _runner(
        self, search: SearchAlg, scheduler: TrialScheduler, state: ExperimentState | None = None
    ) -> TrialRunner:
        search.setup(space=self.space, objective=self.objective, seed=7)
        scheduler.setup(space=self.space, objective=self.objective, seed=7)
        return TrialRunner(search_alg=search, scheduler=scheduler, objective=self.objective, state=state)
