"""What must hold of an experiment that has ended, whatever happened to its drivers and its storage."""

from itertools import pairwise

from tests.integration.observe import iterations
from tune_flows.core.objective import Objective
from tune_flows.core.space import ParamSpace
from tune_flows.core.state import ExperimentState
from tune_flows.core.trial import TrialStatus
from tune_flows.experiment.experiment import fold, history
from tune_flows.experiment.spec import ExperimentSpec
from tune_flows.runner.runner import TrialRunner
from tune_flows.schedulers import parse_scheduler
from tune_flows.search import parse_search_alg
from tune_flows.store import RESULTS_KEY, Journal, ObjectStore, read_table

__all__ = ["require_one_history"]


def require_one_history(url: str) -> ExperimentState:
    """Nothing is lost, nothing is there twice, and policies that begin anew decide the same.

    Returns:
        The state in which the experiment ended.
    """
    store = ObjectStore(url)
    journal = Journal.read(store, whole=True)
    entries = list(journal.entries())
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert all(after.epoch == before.epoch + (after.kind == "fence") for before, after in pairwise(entries))

    runner = _replayed(journal)
    state = runner.state
    assert runner.differences == []
    assert state == fold(journal) == fold(Journal.read(store))
    assert state.ended == "all trials done"
    assert {trial.status for trial in state.trials.values()} == {TrialStatus.TERMINATED}

    told = {trial_id: list(range(1, trial.iteration + 1)) for trial_id, trial in state.trials.items()}
    assert iterations(url) == told
    table = read_table(store, RESULTS_KEY)
    assert table.groupby("trial_id")["training_iteration"].apply(list).to_dict() == told
    assert (table["score"] - table["config/slope"] * table["training_iteration"]).abs().max() < 1e-9
    return state


def _replayed(journal: Journal) -> TrialRunner:
    """A runner with fresh policies at the end of the whole journal."""
    assert journal.header is not None
    spec = ExperimentSpec.from_json(journal.header)
    space, objective = ParamSpace.parse(spec.param_space), Objective(spec.metric, spec.mode)
    search_alg, scheduler = parse_search_alg(spec.search_alg), parse_scheduler(spec.scheduler)
    for policy in (search_alg, scheduler):
        policy.setup(space=space, objective=objective, seed=spec.seed)
    runner = TrialRunner(search_alg=search_alg, scheduler=scheduler, objective=objective)
    for at, records in history(journal):
        runner.replay(records, at)
    return runner
