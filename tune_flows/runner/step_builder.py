"""Builds one loop iteration: its decisions, records and commands.

Rules of this module:

- The state changes only by applying records, and `records` is what was applied, in order.
- Every decision passes through `decide`: live, the proposal counts; on replay, the recorded decision.
"""

from collections.abc import Callable
from typing import TypeVar

from tune_flows.core.commands import Command
from tune_flows.core.decisions import DecisionRecord, Record
from tune_flows.core.events import Event, ResultsReported
from tune_flows.core.state import ExperimentState
from tune_flows.runner.replay import DecisionReplay

__all__ = ["StepBuilder"]

Kind = TypeVar("Kind", bound=DecisionRecord)


class StepBuilder:
    """The experiment's state, and the records and commands of the current loop iteration.

    Args:
        state: The state of the experiment; changed in place.
    """

    def __init__(self, state: ExperimentState) -> None:
        self.state = state
        self.replayed = DecisionReplay()
        self.records: list[Record] = []
        self.commands: list[Command] = []
        self.on_missed: Callable[[DecisionRecord], None] | None = None
        """Called with each recorded decision that no question asked for on replay."""

    def begin(self) -> None:
        """Start the next loop iteration."""
        self.records, self.commands = [], []

    def apply(self, event: Event) -> None:
        """Record an event and apply it, except for results, which the caller applies one by one."""
        self.records.append(event)
        if not isinstance(event, ResultsReported):
            self.state.apply(event)

    def decide(self, proposed: Kind | None, *kinds: type[Kind], **about: object) -> Kind | None:
        """Apply, record and return the decision that counts; None: there is none.

        Args:
            proposed: What today's policies decide; None: nothing.
            kinds: The classes of record that answer the question.
            about: What the question is about: fields that the answer must have.
        """
        missed, settled = self.replayed.decide(proposed, *kinds, **about)
        for record in missed:
            self.catch_up(record)
        if settled is not None:
            self._accept(settled)
        return settled

    def catch_up(self, record: DecisionRecord) -> None:
        """Apply a recorded decision that today's policies did not make, and call `on_missed`."""
        self._accept(record)
        if self.on_missed is not None:
            self.on_missed(record)

    def _accept(self, decided: DecisionRecord) -> None:
        self.state.apply(decided)
        self.records.append(decided)

    def emit(self, command: Command) -> None:
        """Add a command, to be carried out once the records are durable."""
        self.commands.append(command)
