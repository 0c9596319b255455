"""Which answer counts: the policies' own, or on replay the one that the journal holds.

Live, whatever is proposed counts. On replay the recorded decisions lie on the tape in their order; each
question takes the next one if that answers it. Where the two differ the recorded one stands, and the
difference is kept for a warning: the history is what happened, not what a policy of today would have done.

A question about nothing in particular ("who comes next?") may be asked several times before it is answered:
as long as nothing is proposed, it takes nothing.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from tune_flows.core.decisions import DecisionRecord

__all__ = ["DecisionReplay", "ReplayMismatch"]

Kind = TypeVar("Kind", bound=DecisionRecord)


@dataclass(frozen=True, slots=True)
class ReplayMismatch:
    """A question that would be answered otherwise today."""

    recorded: DecisionRecord | None
    today: DecisionRecord | None

    def __str__(self) -> str:
        return f"journal: {self.recorded or 'nothing'}; now: {self.today or 'nothing'}"


class DecisionReplay:
    """Settles proposals, against the recorded decisions of one loop iteration or against none."""

    def __init__(self) -> None:
        self._recorded: deque[DecisionRecord] | None = None
        self.differences: list[ReplayMismatch] = []
        """What today's policies would have decided differently."""

    @property
    def is_replay(self) -> bool:
        """Whether recorded decisions count rather than proposals."""
        return self._recorded is not None

    def load(self, recorded: Sequence[DecisionRecord]) -> None:
        """Replay these decisions, until `unload`."""
        self._recorded = deque(recorded)

    def unload(self) -> list[DecisionRecord]:
        """Back to live; returns what no question has taken."""
        rest = list(self._recorded or ())
        self._recorded = None
        self.differences += [ReplayMismatch(record, None) for record in rest]
        return rest

    def decide(
        self, proposed: Kind | None, *kinds: type[Kind], **about: object
    ) -> tuple[list[DecisionRecord], Kind | None]:
        """The decision that counts, or None for none.

        Args:
            proposed: What today's policies decide; None: nothing to record.
            kinds: The classes of record that answer the question.
            about: What is asked about: fields of the answer that are known beforehand.

        Returns:
            What was recorded before the answer and never came up today, to be caught up with; the decision.
        """
        if self._recorded is None:
            return [], proposed
        missed: list[DecisionRecord] = []
        answer: Kind | None = None
        if proposed is not None or about:
            for place, record in enumerate(self._recorded):
                if isinstance(record, kinds) and all(getattr(record, k) == v for k, v in about.items()):
                    if place == 0 or proposed is not None:
                        missed, answer = [self._recorded.popleft() for _ in range(place)], record
                        self._recorded.popleft()
                    break
        self.differences += [ReplayMismatch(record, None) for record in missed]
        if answer != proposed:
            self.differences.append(ReplayMismatch(answer, proposed))
        return missed, answer
