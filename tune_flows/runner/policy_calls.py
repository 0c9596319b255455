"""Checked calls of the search algorithm and the scheduler of one run.

All answers of a policy are checked here: an exception in a policy or an answer that its protocol does not
allow becomes a `PolicyError` that names the policy and the method.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, cast

from tune_flows.core.decisions import CONTINUE, PAUSE, STOP, Decision, SearchExhausted, TrialSuggested
from tune_flows.core.errors import PolicyError, TuneError
from tune_flows.core.json_values import NotJson, plain_json
from tune_flows.core.trial import Action, Result, Trial
from tune_flows.runner.replay import ReplayMismatch
from tune_flows.schedulers.base import TrialScheduler
from tune_flows.search.base import Finished, SearchAlg

__all__ = ["Policies"]

Args = ParamSpec("Args")
Answer = TypeVar("Answer")


class Policies:
    """Calls the methods of the two policies and checks their answers."""

    def __init__(self, search_alg: SearchAlg, scheduler: TrialScheduler) -> None:
        self.search_alg = search_alg
        self.scheduler = scheduler

    def whose(self, difference: ReplayMismatch) -> str:
        """Return the role and kind of the policy whose answer differs from the recorded one."""
        if isinstance(difference.recorded or difference.today, TrialSuggested | SearchExhausted):
            return f"search_alg {self.search_alg.kind()}"
        return f"scheduler {self.scheduler.kind()}"

    def dumped(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return `dump_state` of the search algorithm and of the scheduler."""
        return _ask(self.search_alg.dump_state), _ask(self.scheduler.dump_state)

    def suggest(self, trial_id: str) -> dict[str, Any] | Finished | None:
        """Return a configuration of JSON values, None for "nothing right now", or FINISHED."""
        answer = _ask(self.search_alg.suggest, trial_id)
        if answer is None or isinstance(answer, Finished):
            return answer
        return _config(self.search_alg.suggest, answer)

    def choose_trial_to_run(self, candidates: Sequence[Trial]) -> Trial | None:
        """Return the candidate that gets the free slot, or None."""
        answer = _ask(self.scheduler.choose_trial_to_run, candidates)
        if answer is None:
            return None
        for trial in candidates:
            if trial.trial_id == answer:
                return trial
        raise _broken(self.scheduler.choose_trial_to_run, answer, "the trial_id of a candidate or None")

    def next_decision(self, trial: Trial) -> int | None:
        """Return the iteration of the trial's next decision point; None: there is none."""
        answer = _ask(self.scheduler.next_decision, trial)
        if answer is None:
            return None
        expected = f"an iteration after {trial.iteration} or None"
        try:
            iteration = operator.index(answer)  # accepts numpy integers too
        except TypeError as error:
            raise _broken(self.scheduler.next_decision, answer, expected, trial) from error
        if iteration <= trial.iteration:
            raise _broken(self.scheduler.next_decision, answer, expected, trial)
        return iteration

    def on_trial_add(self, trial: Trial) -> None:
        """Notify the scheduler of a new or reopened trial."""
        _ask(self.scheduler.on_trial_add, trial)

    def on_trial_result(self, trial: Trial, result: Result) -> Decision:
        """Pass the result to both policies and return the scheduler's decision."""
        _ask(self.search_alg.on_trial_result, trial, result)
        method = self.scheduler.on_trial_result
        decision = _ask(method, trial, result)
        if not isinstance(decision, Decision):  # pyright: ignore[reportUnnecessaryIsInstance] - user code
            raise _broken(method, decision, "a Decision: CONTINUE, PAUSE, STOP, YIELD or exploit(...)", trial)
        if decision != CONTINUE and trial.until != result.iteration:
            raise _broken(
                method,
                decision.action,
                f"CONTINUE at iteration {result.iteration}: next_decision had named {trial.until}",
                trial,
            )
        if decision.config is None:
            return decision
        return replace(decision, config=_config(method, decision.config))

    def on_trial_complete(self, trial: Trial) -> None:
        """Notify both policies that the trial completed or was stopped."""
        _ask(self.search_alg.on_trial_complete, trial)
        _ask(self.scheduler.on_trial_complete, trial)

    def on_trial_error(self, trial: Trial, *, final: bool) -> None:
        """Notify the scheduler of a failure, and the search algorithm if it is final."""
        _ask(self.scheduler.on_trial_error, trial, final=final)
        if final:
            _ask(self.search_alg.on_trial_error, trial)

    def on_no_new_trials(self) -> None:
        """Notify the scheduler that no new trial will come, or none before a paused one continues."""
        _ask(self.scheduler.on_no_new_trials)

    def pending_decisions(self) -> dict[str, Action]:
        """Return PAUSE or STOP by trial id, for other trials than the one of the last notification."""
        method = self.scheduler.pending_decisions
        answer: dict[str, Action] = {}
        for trial_id, decision in _ask(method).items():
            if decision not in (PAUSE, STOP):
                raise _broken(method, {trial_id: decision}, "PAUSE or STOP for each trial")
            answer[trial_id] = decision.action
        return answer


def _ask(method: Callable[Args, Answer], *args: Args.args, **kwargs: Args.kwargs) -> Answer:
    try:
        return method(*args, **kwargs)
    except TuneError:
        raise
    except Exception as error:
        raise PolicyError(f"{_name(method)} raised {type(error).__name__}: {error}") from error


def _config(method: Callable[..., object], config: object) -> dict[str, Any]:
    """Return a copy of a policy's config as JSON values."""
    try:
        plain: object = plain_json(config)
    except NotJson as error:
        raise _broken(method, config, f"JSON values; config{error.where}: {error}") from error
    if not isinstance(plain, dict):
        raise _broken(method, config, "a config: a dict of JSON values")
    return cast("dict[str, Any]", plain)


def _broken(
    method: Callable[..., object], got: object, expected: str, trial: Trial | None = None
) -> PolicyError:
    about = f" for {trial}" if trial is not None else ""
    return PolicyError(f"{_name(method)}: got {got!r}{about}, expected {expected}.")


def _name(method: Callable[..., object]) -> str:
    owner: object = getattr(method, "__self__", None)
    return f"{type(owner).__qualname__}.{method.__name__}"
