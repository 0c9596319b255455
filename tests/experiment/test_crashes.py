"""Crashes on a real folder, with workers that are lost besides. See test_crash_matrix.py for exactness."""

from itertools import count

import pytest

from tests.experiment.simulated_experiment import SimulatedExperiment
from tests.experiment.test_stepwise import SCHEDULERS
from tune_flows.core.decisions import ExperimentEnded
from tune_flows.core.errors import InfrastructureError
from tune_flows.core.events import DriverStarted, ResultsReported
from tune_flows.core.rules import Rules
from tune_flows.experiment.experiment import fold
from tune_flows.store import Journal, ObjectStore

SAVES = Rules(checkpoint_at_end=True, num_to_keep=1, max_infra_failures=2)


def shop(tmp_path, kind, rules):
    return SimulatedExperiment(
        f"{tmp_path}/{kind}",
        SCHEDULERS[kind],
        num_samples=4,
        stop={"training_iteration": 6},
        slots=2,
        rules=rules,
        fault=lose_some if rules is SAVES else None,
    )


def lose_some(trial_id, lease, iteration):
    lost = iteration == 4 and lease == 1 and trial_id in ("trial-00001", "trial-00002")
    return InfrastructureError("node lost") if lost else None


def results(shop):
    return [(event.trial_id, r) for event in shop.records(ResultsReported) for r in event.results]


def check(shop, state):
    assert fold(shop.journal()) == state
    assert fold(Journal.read(ObjectStore(shop.url))) == state
    assert state.ended == "all trials done"
    assert all(trial.status.is_final for trial in state.trials.values())
    told = [(trial_id, result.iteration) for trial_id, result in results(shop)]
    assert sorted(told) == sorted(
        (trial.trial_id, iteration)
        for trial in state.trials.values()
        for iteration in range(1, trial.iteration + 1)
    )
    assert len(shop.records(ExperimentEnded)) == 1


def what(shop, state):
    """What came of it, whenever it happened."""
    measured = sorted((trial_id, r.iteration, str(r.metrics)) for trial_id, r in results(shop))
    return measured, [(t.trial_id, t.config, t.status, t.iteration) for t in state.trials.values()]


@pytest.mark.parametrize("durable", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_crash_at_any_write(tmp_path, caplog, kind, durable):
    whole = shop(tmp_path, kind, SAVES)
    undisturbed = what(whole, whole.run())
    entries = whole.entries()
    for writes in range(1, entries + 2, 1 + entries // 5):
        broken = shop(tmp_path / str(writes), kind, SAVES)
        state = broken.run_and_die(writes, durable=durable)
        assert (state is not None) == (writes > entries)
        state = broken.run()
        assert not caplog.records, caplog.text
        check(broken, state)
        if kind == "fifo":
            assert what(broken, state) == undisturbed


@pytest.mark.parametrize("every", [3, 7])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_crash_at_every_few_writes(tmp_path, caplog, kind, every):
    whole = shop(tmp_path, kind, Rules())
    undisturbed = what(whole, whole.run())
    broken = shop(tmp_path / "broken", kind, Rules())
    for attempt in count(1):
        state = broken.run_and_die(every, durable=attempt % 2 == 0)
        if state is not None:
            break
        assert attempt < 200, "it does not get on"
    assert len(broken.records(DriverStarted)) > 2
    assert not caplog.records, caplog.text
    check(broken, state)
    assert what(broken, state) == undisturbed
