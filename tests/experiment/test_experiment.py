"""One experiment over several calls: finished, extended, refused, contended."""

import asyncio
from dataclasses import replace

import pytest

from tests.experiment.memory_store import MemoryFolder
from tests.experiment.simulated_experiment import Curve, Odd, Silent, SimulatedExperiment
from tune_flows.core.errors import ExperimentFenced, ExperimentMismatch, InvalidParameter, MetricNotReported
from tune_flows.core.events import DriverStarted, ExperimentExtended, RulesChanged
from tune_flows.core.rules import Rules
from tune_flows.core.space import grid_search, uniform
from tune_flows.core.trial import TrialStatus
from tune_flows.executors.simulated.executor import SimulatedExecutor
from tune_flows.experiment.experiment import fold
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.store import Journal, ObjectStore


@pytest.fixture
def shop(tmp_path):
    return SimulatedExperiment(f"{tmp_path}/experiment")


def test_a_finished_experiment_is_left_as_it_is(shop):
    state = shop.run()
    entries = shop.entries()
    assert shop.run() == state
    assert shop.entries() == entries


def test_more_samples_extend_it(shop):
    first = shop.run()
    shop.num_samples = 8
    state = shop.run()
    assert (len(first.trials), len(state.trials)) == (6, 8)
    assert list(state.trials.values())[:6] == list(first.trials.values())
    assert [record.target for record in shop.records(ExperimentExtended)] == [6, 8]
    assert fold(shop.journal()) == state
    whole = SimulatedExperiment(f"{shop.url}-whole", num_samples=8)
    assert [t.config for t in whole.run().trials.values()] == [t.config for t in state.trials.values()]


def test_the_samples_of_a_grid_are_counted_in_its_points(shop):
    shop.space = {"x": grid_search([0.1, 0.2, 0.3]), "y": uniform(0, 1)}
    shop.num_samples = 2
    state = shop.run()
    assert [trial.config["x"] for trial in state.trials.values()] == [0.1, 0.2, 0.3] * 2


def test_fewer_samples_are_refused(shop):
    shop.run()
    entries = shop.entries()
    shop.num_samples = 5
    with pytest.raises(ExperimentMismatch, match=r"num_samples: .* has 6 trials, these parameters give 5"):
        shop.run()
    shop.num_samples = None
    assert not shop.experiment().is_over(fold(shop.journal()))
    assert shop.entries() == entries


def test_without_a_limit_it_may_not_become_limited(shop):
    shop.num_samples, shop.rules = None, Rules(time_budget_s=30.0)
    state = shop.run()
    assert state.ended == "time budget of 30 s spent"
    shop.num_samples = 1000
    with pytest.raises(ExperimentMismatch, match="has unlimited trials"):
        shop.run()


@pytest.mark.parametrize(
    ("change", "listed"),
    [
        (
            {"space": {"x": uniform(0, 2), "model": {"layers": 2}}},
            ["param_space['x']['upper']: was 1.0, is now 2.0"],
        ),
        (
            {"space": {"y": uniform(0, 1), "model": {"layers": 2}}},
            ["param_space['x']: was {'type': 'uniform'", "is now absent", "param_space['y']: was absent"],
        ),
        (
            {"search_alg": {"type": "random", "seed": 6}},
            ["search_alg['seed']: was 5, is now 6"],
        ),
        ({"search_alg": "grid"}, ["search_alg['type']: was 'random', is now 'grid'"]),
        ({"scheduler": "asha"}, ["scheduler['type']: was 'fifo', is now 'asha'"]),
        (
            {"trainable": Odd},
            [f"trainable: was '{Curve.__module__}:Curve', is now '{Curve.__module__}:Odd'"],
        ),
        ({"metric": "n"}, ["metric: was 'score', is now 'n'"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_parameters_are_refused_with_a_list_of_the_differences(shop, change, listed):
    shop.run()
    entries = shop.entries()
    with pytest.raises(ExperimentMismatch) as raised:
        replace(shop, **change).run()
    message = str(raised.value)
    assert message.startswith(f"The experiment at {shop.url} was begun with other parameters:\n  ")
    assert all(line in message for line in listed)
    assert "another name for a new experiment" in message
    assert shop.entries() == entries


def test_what_is_the_same_in_json_is_the_same(shop):
    shop.run()
    shop.space = {"x": {"type": "uniform", "lower": 0, "upper": 1}, "model": {"layers": 2}}
    shop.stop = {"training_iteration": 9.0}
    assert shop.run().ended


def test_a_spec_survives_the_header(shop):
    spec = ExperimentSpec("m:f", {"x": [1, None, float("inf")]}, None, "min", {}, {}, 2**62)
    assert ExperimentSpec.from_json(spec.to_json()) == spec
    spec.require_same(ExperimentSpec.from_json(spec.to_json()), url="here")


def test_other_rules_are_welcome_and_journalled(shop):
    shop.rules = Rules(max_concurrent_trials=1)
    assert shop.run_and_die(12, durable=True) is None
    shop.rules = Rules(max_steps_per_task=2)
    state = shop.run()
    assert state.ended == "all trials done"
    rules = [record.rules for record in shop.records(RulesChanged)]
    first, second = Rules(max_concurrent_trials=1), Rules(max_steps_per_task=2)
    assert rules == [replace(first, stop=shop.stop), replace(second, stop=shop.stop)]
    assert shop.run() == state


def test_a_metric_that_is_never_reported_leaves_no_experiment_behind(shop, tmp_path):
    silent = replace(shop, trainable=Silent)
    with pytest.raises(MetricNotReported, match=r"got 'score', .* reported: loss"):
        silent.run()
    assert Journal.read(silent.experiment().store).header is None
    assert ObjectStore(shop.url).list() == []
    assert shop.run().ended == "all trials done"  # the name is free again


class Typo(Curve):
    """Reports the metric under another name, until that is mended."""

    name = "scroe"

    def step(self):
        return {self.name: super().step()["score"]}


def test_what_has_checkpoints_is_kept_though_the_metric_is_never_reported(shop, monkeypatch):
    shop.trainable, shop.checkpoint_frequency = Typo, 2
    with pytest.raises(MetricNotReported, match=rf"reported: scroe\. As there .*, {shop.url} is kept: carry"):
        shop.run()
    held = [trial.checkpoint for trial in fold(shop.journal()).trials.values()]
    assert None not in held
    monkeypatch.setattr(Typo, "name", "score")
    shop.resume = "must"
    state = shop.run()
    assert state.ended == "all trials done"
    assert [trial.iteration for trial in state.trials.values()] == [9] * 6


def test_a_crash_while_an_experiment_is_removed(monkeypatch):
    """Some upload had begun, too."""
    whole = MemoryFolder()
    shop = SimulatedExperiment(trainable=Typo, num_samples=2, slots=1)
    stray = f"ckpt/trial-00001/1-{'0' * 32}/files/state"
    with pytest.raises(MetricNotReported):
        replace(shop, folder=whole, observers=[Uploading(whole, stray)]).run()
    assert whole.list("") == []
    deleted = (n for n, (key, data) in enumerate(whole.writes) if data is None and ".probe" not in key)
    removal = next(deleted)
    monkeypatch.setattr(Typo, "name", "score")
    for number in range(removal, len(whole.writes) + 1):
        folder = MemoryFolder(whole.writes[:number])
        has_header = folder.read("experiment.json") is not None
        assert not has_header or folder.list("ckpt"), "checkpoints go last"
        state = replace(shop, folder=folder).run()
        assert state.ended == "all trials done", whole.writes[number - 1]


class Uploading:
    """A worker whose checkpoint is not whole yet."""

    def __init__(self, folder, key):
        self.folder, self.key = folder, key

    def on_step(self, state, step):
        self.folder.write(self.key, b"some")


def test_bad_parameters_leave_no_experiment_behind(shop):
    broken = replace(shop, search_alg={"type": "random", "points_to_evaluate": [{"zz": 1}]})
    with pytest.raises(InvalidParameter, match="points_to_evaluate"):
        broken.run()
    assert ObjectStore(shop.url).list() == []


def test_an_experiment_without_its_own_seed_keeps_the_one_it_began_with(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", search_alg="random")
    assert shop.run_and_die(8, durable=True) is None
    configs = [trial.config for trial in fold(shop.journal()).trials.values()]
    experiment = shop.experiment(seed=999)
    experiment.look()
    state = asyncio.run(shop.driver(experiment).run())
    whole = SimulatedExperiment(f"{tmp_path}/whole", search_alg="random").run()
    assert [t.config for t in state.trials.values()][: len(configs)] == configs
    assert [t.config for t in state.trials.values()] == [t.config for t in whole.trials.values()]


def test_two_drivers_that_begin_at_once_agree_on_the_seed(tmp_path):
    shop = SimulatedExperiment(f"{tmp_path}/e", search_alg="random")
    late = shop.experiment(seed=999)
    assert late.look() is None
    assert shop.run_and_die(4, durable=True) is None  # meanwhile another driver began it
    state = asyncio.run(shop.driver(late).run())
    whole = SimulatedExperiment(f"{tmp_path}/whole", search_alg="random").run()
    assert [t.config for t in state.trials.values()] == [t.config for t in whole.trials.values()]


class TakenOver:
    """Another driver takes the experiment over while this one runs."""

    def __init__(self, shop, at_step):
        self.shop, self.left = shop, at_step
        self.other = None

    def on_step(self, state, step):
        self.left -= 1
        if self.left == 0:
            self.other = self.shop.experiment()
            self.other.look()
            self.claimed = self.other.claim()


def test_the_older_of_two_drivers_stops_at_its_next_commit(shop):
    takeover = TakenOver(shop, at_step=5)
    with pytest.raises(ExperimentFenced, match="taken this experiment over"):
        replace(shop, observers=[takeover]).run()
    journal, runner, first = takeover.claimed
    assert journal.epoch == 2
    assert first == []
    assert len(shop.records(DriverStarted)) == 1
    assert takeover.left == 0
    assert fold(shop.journal()) == runner.state
    state = shop.run()  # a third one finishes it
    assert state.ended == "all trials done"
    assert state.epoch == 3
    assert state.by_status()[TrialStatus.TERMINATED] == 6


def test_a_driver_that_was_fenced_discards_nothing(shop):
    """Whenever it is, also right before it finds that the metric is never reported."""

    class TakeOver:
        def __init__(self, step):
            self.left = step

        def on_step(self, state, step):
            self.left -= 1
            if self.left == 0:
                Journal.open(ObjectStore(impossible.url), writer="new")

    for step in range(1, 100):
        takeover = TakeOver(step)
        impossible = SimulatedExperiment(
            f"{shop.url}-{step}", trainable=Silent, slots=1, observers=[takeover]
        )
        with pytest.raises((ExperimentFenced, MetricNotReported)) as raised:
            impossible.run()
        assert (raised.type is ExperimentFenced) == (takeover.left <= 0) == (impossible.entries() > 0)
        if raised.type is MetricNotReported:
            break
    assert step > 5


@pytest.mark.timeout(30)
def test_a_driver_with_nothing_to_commit_learns_of_a_takeover(shop, monkeypatch):
    monkeypatch.setattr("tune_flows.experiment.driver._LOOK_EVERY_S", 0.01)

    class LongStep(SimulatedExecutor):
        async def next_events(self):
            if shop.entries() < 5:
                return await super().next_events()
            if shop.entries() == 5:
                Journal.open(ObjectStore(shop.url), writer="new")
            return await asyncio.Event().wait()

    with pytest.raises(ExperimentFenced, match=r"new/.* has taken this experiment over"):
        replace(shop, executor=LongStep).run()


def test_an_observer_sees_every_durable_step(shop):
    seen = []

    class Observer:
        def on_step(self, state, step):
            seen.append((len(shop.records()), step))

    replace(shop, observers=[Observer()]).run()
    counts = [count for count, _ in seen]
    assert counts == sorted(counts)
    assert counts[-1] == sum(len(step.records) for _, step in seen)
