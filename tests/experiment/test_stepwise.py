"""Free running and one step at a time decide identically, for every scheduler."""

import pytest

from tests.experiment.simulated_experiment import Greedy, SimulatedExperiment
from tune_flows.core.decisions import TrialDecided, TrialOverruled, TrialSuggested
from tune_flows.core.events import ResultsReported
from tune_flows.core.rules import Rules

SCHEDULERS = {
    "fifo": None,
    "asha": {"type": "asha", "max_t": 9, "reduction_factor": 3},
    "asha in brackets": {"type": "asha", "max_t": 9, "reduction_factor": 3, "brackets": 2, "seed": 2},
    "hyperband": {"type": "hyperband", "max_t": 9, "reduction_factor": 3},
    "pbt": {"type": "pbt", "perturbation_interval": 2, "seed": 2},
    "greedy": Greedy(),
}


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_decisions_do_not_depend_on_how_the_work_is_cut(tmp_path, kind, slots):
    free = SimulatedExperiment(f"{tmp_path}/free", SCHEDULERS[kind], num_samples=12, slots=slots)
    cut = SimulatedExperiment(
        f"{tmp_path}/cut", SCHEDULERS[kind], num_samples=12, slots=slots, rules=Rules(max_steps_per_task=1)
    )
    ends = [shop.run() for shop in (free, cut)]

    decided = [shop.records(TrialDecided, TrialOverruled, TrialSuggested) for shop in (free, cut)]
    assert decided[0] == decided[1]
    assert (len(decided[0]) > 12) == (kind != "fifo")
    assert _bare(ends[0]) == _bare(ends[1])
    assert ends[0].by_status()["TERMINATED"] == 12
    results = [
        {(event.trial_id, result.iteration): result.metrics for event in events for result in event.results}
        for events in (shop.records(ResultsReported) for shop in (free, cut))
    ]
    assert results[0] == results[1]


def _bare(state):
    return [
        (trial.trial_id, trial.config, trial.status, trial.iteration, trial.last_result, trial.reason)
        for trial in state.trials.values()
    ]
