"""Whatever happens in whatever order, the runner keeps its promises."""

from random import Random
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import PrivateAttr

from tests.runner.model_executor import ModelExecutor
from tests.runner.runner_harness import RunnerHarness
from tune_flows.core.commands import DeleteCheckpoint
from tune_flows.core.decisions import CONTINUE, PAUSE, STOP, YIELD, Decision, exploit
from tune_flows.core.events import CapacityChanged, ExperimentExtended, RulesChanged, StopRequested
from tune_flows.core.policy import Rng, new_rng
from tune_flows.core.rules import Rules
from tune_flows.core.space import ParamSpace, uniform
from tune_flows.core.trial import Action, TrialStatus
from tune_flows.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from tune_flows.search import RandomSearch

SPACE = ParamSpace.parse({"x": uniform(0, 1)})
MOST_STEPS = 3000


class Whimsical(TrialScheduler):
    """Decides anything that it may, about anybody."""

    saves_at_decisions: ClassVar[bool] = True

    _rng: Rng = PrivateAttr()
    _known: list[str] = PrivateAttr(default_factory=list)
    _others: dict[str, Action] = PrivateAttr(default_factory=dict)
    _due: dict[str, int] = PrivateAttr(default_factory=dict)

    def setup(self, *, objective, space, seed):
        self._rng = new_rng(seed, stream=5)

    def next_decision(self, trial):
        if self._rng.random() < 0.1:
            self._due.pop(trial.trial_id, None)
            return None
        self._due[trial.trial_id] = trial.iteration + int(self._rng.integers(1, 4))
        return self._due[trial.trial_id]

    def on_trial_add(self, trial):
        self._known.append(trial.trial_id)

    def on_trial_result(self, trial, result) -> Decision:
        if self._rng.random() < 0.2:
            other = self._known[int(self._rng.integers(len(self._known)))]
            self._others[other] = [Action.STOP, Action.PAUSE, Action.PAUSE][int(self._rng.integers(3))]
        if trial.until != result.iteration:
            return CONTINUE
        source = self._known[int(self._rng.integers(len(self._known)))]
        config = {"x": float(self._rng.random())}
        then = [Action.CONTINUE, Action.PAUSE, Action.YIELD, Action.STOP][int(self._rng.integers(4))]
        words = [CONTINUE, CONTINUE, PAUSE, STOP, YIELD, exploit(source, config, then=then)]
        return words[int(self._rng.integers(len(words)))]

    def on_trial_complete(self, trial):
        self._known.remove(trial.trial_id)  # fails if it is told twice

    def on_trial_error(self, trial, *, final):
        if final:
            self._known.remove(trial.trial_id)

    def pending_decisions(self):
        others, self._others = self._others, {}
        return {
            trial_id: STOP if action is Action.STOP else PAUSE
            for trial_id, action in others.items()
            if trial_id in self._known
        }

    def choose_trial_to_run(self, candidates):
        return candidates[int(self._rng.integers(len(candidates)))].trial_id


SCHEDULERS = {
    "fifo": FIFOScheduler,
    "asha": lambda: ASHAScheduler(max_t=9, reduction_factor=3, brackets=2),
    "hyperband": lambda: HyperBandScheduler(max_t=9, reduction_factor=3),
    "pbt": lambda: PopulationBasedTraining(perturbation_interval=2),
    "whimsical": Whimsical,
}


def check(desk, step, executor, final):
    running = [trial for trial in desk.state.live_trials() if trial.status is TrialStatus.RUNNING]
    assert len(running) <= executor.slots
    for command in step.commands:
        if isinstance(command, DeleteCheckpoint):
            held = {ref.path for trial in desk.state.trials.values() for ref in trial.kept}
            assert command.checkpoint.path not in held
        else:
            assert desk.state.holder(command.trial_id, command.lease) is not None
    for trial_id, told in final.items():
        assert repr(desk.state.trials[trial_id]) == told, "a finished trial has changed"
    final |= {name: repr(trial) for name, trial in desk.state.trials.items() if trial.status.is_final}
    assert set(desk.state.live) == desk.state.trials.keys() - final.keys()


def run(kind, seed, *, slots, trials, rules, restarts, interruptions):
    random = Random(seed)
    executor = ModelExecutor(random, slots=slots, length=random.choice([1, 5, 12]), faults=6)
    desk = RunnerHarness(
        SCHEDULERS[kind](), RandomSearch(), rules=rules, slots=slots, target=trials, space=SPACE, start=False
    )
    final = {}
    step = desk.start()
    for _ in range(MOST_STEPS):
        check(desk, step, executor, final)
        executor.obey(step.commands)
        if desk.state.ended is not None:
            break
        if restarts and random.random() < 0.05:
            restarts -= 1
            executor.lose_everything()
            commands = desk.restart()
            executor.obey(commands)
            if desk.state.ended is not None:
                break
        events = executor.events()
        if interruptions and random.random() < 0.05:
            interruptions -= 1
            place = random.randint(0, len(events))
            events.insert(place, _interruption(random, desk, executor))
        step = desk.step(*events, seconds=random.choice([0.0, 0.1, 5.0]))
    assert desk.state.ended is not None, "it did not come to an end"
    assert all(trial.status.is_final for trial in desk.state.trials.values())
    assert not executor.workers or desk.state.stopping
    assert len(desk.state.trials) == desk.state.target or desk.state.stopping
    desk.replayed()


def _interruption(random, desk, executor):
    kind = random.randrange(4)
    if kind == 0:
        return StopRequested("by hand")
    if kind == 1:
        return ExperimentExtended(desk.state.target + 2)
    if kind == 2:
        return RulesChanged(Rules(max_failures=1, max_steps_per_task=random.choice([None, 1]), num_to_keep=1))
    executor.slots += 1
    return CapacityChanged(executor.slots)


RULES = st.builds(
    Rules,
    max_concurrent_trials=st.sampled_from([None, 1, 2]),
    max_failures=st.sampled_from([-1, 0, 1]),
    max_infra_failures=st.sampled_from([0, 3]),
    fail_fast=st.booleans(),
    checkpoint_at_end=st.booleans(),
    num_to_keep=st.sampled_from([None, 1, 2]),
    time_budget_s=st.sampled_from([None, None, 40.0]),
    max_steps_per_task=st.sampled_from([None, 1, 2]),
)


@pytest.mark.parametrize("kind", SCHEDULERS)
@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    slots=st.integers(1, 5),
    trials=st.integers(1, 12),
    rules=RULES,
    restarts=st.integers(0, 3),
    interruptions=st.integers(0, 3),
)
def test_every_trial_ends_and_the_journal_tells_all(
    kind, seed, slots, trials, rules, restarts, interruptions
):
    run(
        kind,
        seed,
        slots=slots,
        trials=trials,
        rules=rules,
        restarts=restarts,
        interruptions=interruptions,
    )
