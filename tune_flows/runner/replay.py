"""Settles decisions: live, what the policies propose; on replay, what the journal has recorded.

On replay the recorded decisions are queued in their order, and each question takes the next one that answers
it. Where the proposal of today's policies differs, the recorded decision counts, as it is what happened; the
difference is kept for a warning.

A question that is not about a given trial (such as which trial to launch next) may be asked several times
before it is answered: while nothing is proposed, it takes no recorded decision.
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
    """A difference between a recorded decision and the proposal of today's policies."""

    recorded: DecisionRecord | None
    today: DecisionRecord | None

    def __str__(self) -> str:
        return f"journal: {self.recorded or 'nothing'}; now: {self.today or 'nothing'}"


class DecisionReplay:
    """Settles proposals, on replay by the recorded decisions of one loop iteration."""

    def __init__(self) -> None:
        self._recorded: deque[DecisionRecord] | None = None
        self.differences: list[ReplayMismatch] = []
        """Where today's policies would have decided differently."""

    @property
    def is_replay(self) -> bool:
        """Whether recorded decisions count instead of proposals."""
        return self._recorded is not None

    def load(self, recorded: Sequence[DecisionRecord]) -> None:
        """Start a replay of these decisions, which lasts until `unload`."""
        self._recorded = deque(recorded)

    def unload(self) -> list[DecisionRecord]:
        """End the replay and return the recorded decisions that no question has taken."""
        rest = list(self._recorded or ())
        self._recorded = None
        self.differences += [ReplayMismatch(record, None) for record in rest]
        return rest

    def decide(
        self, proposed: Kind | None, *kinds: type[Kind], **about: object
    ) -> tuple[list[DecisionRecord], Kind | None]:
        """Return the decision that counts, and the recorded decisions that it skips.

        Args:
            proposed: What today's policies decide; None: nothing to record.
            kinds: The classes of record that answer the question.
            about: What the question is about: fields that the answer must have.

        Returns:
            The decisions recorded before the answer that no question has taken; and the answer or None.
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
