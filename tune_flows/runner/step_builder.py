"""One loop iteration in the making: what is settled, recorded and ordered.

Rules of this module:

- The state changes only by applying records, and `records` is what was applied, in order.
- Every decision passes through `decide`: live, what is proposed counts; on replay, what was recorded.
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
    """The state, and what the loop iteration under way has made of it.

    Args:
        state: Where the experiment stands.
    """

    def __init__(self, state: ExperimentState) -> None:
        self.state = state
        self.replayed = DecisionReplay()
        self.records: list[Record] = []
        self.commands: list[Command] = []
        self.on_missed: Callable[[DecisionRecord], None] | None = None
        """Told of recorded decisions that did not come up when their history was lived again."""

    def begin(self) -> None:
        """The next loop iteration."""
        self.records, self.commands = [], []

    def apply(self, event: Event) -> None:
        """Something happened. Results are applied one by one by who asks the policies about them."""
        self.records.append(event)
        if not isinstance(event, ResultsReported):
            self.state.apply(event)

    def decide(self, proposed: Kind | None, *kinds: type[Kind], **about: object) -> Kind | None:
        """The decision that counts, applied and recorded; None for none.

        Args:
            proposed: What is decided today; None: nothing.
            kinds: The classes of record that answer the question.
            about: What is asked about: fields of the answer that are known beforehand.
        """
        missed, settled = self.replayed.decide(proposed, *kinds, **about)
        for record in missed:
            self.catch_up(record)
        if settled is not None:
            self._accept(settled)
        return settled

    def catch_up(self, record: DecisionRecord) -> None:
        """A recorded decision that nobody would take today: it stands, and whoever listens hears of it."""
        self._accept(record)
        if self.on_missed is not None:
            self.on_missed(record)

    def _accept(self, decided: DecisionRecord) -> None:
        self.state.apply(decided)
        self.records.append(decided)

    def emit(self, command: Command) -> None:
        """Shall happen once the records are durable."""
        self.commands.append(command)
