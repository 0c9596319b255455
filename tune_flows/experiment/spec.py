"""The specification of an experiment: the parameters that its history depends on.

It is written once, into the journal's header. A resume with another specification is refused, as the recorded
history would not belong to it. Parameters that may change from one session to the next are not included:
the number of samples and `tune_flows.core.rules`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from tune_flows.core.errors import CorruptJournalError, ExperimentMismatch
from tune_flows.core.json_values import from_json, to_json
from tune_flows.core.objective import Mode

__all__ = ["ExperimentSpec"]


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """The fixed parameters of an experiment, all of them JSON values."""

    trainable: str
    """Import path, or module and qualified name."""
    param_space: dict[str, Any]
    metric: str | None
    mode: Mode
    search_alg: dict[str, Any]
    scheduler: dict[str, Any]
    seed: int
    """Seed for policies that have none configured; drawn when the experiment is created."""

    def to_json(self) -> dict[str, Any]:
        """Return the header of the journal."""
        return {field.name: to_json(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, header: Mapping[str, Any]) -> "ExperimentSpec":
        """Return the specification in the header of a journal.

        Raises:
            CorruptJournalError: The header lacks fields of a specification. Final.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in header]
        if missing:
            got, expected = ", ".join(header) or "nothing", ", ".join(missing)
            raise CorruptJournalError(f"header of the experiment: got {got}, expected also {expected}.")
        return cls(**{name: from_json(header[name]) for name in names})

    def require_same(self, now: "ExperimentSpec", *, url: str) -> None:
        """Raise an error if the experiment was begun with other parameters than `now`.

        Raises:
            ExperimentMismatch: The message lists each difference.
        """
        differences: list[str] = []
        begun_as, given = self.to_json(), now.to_json()
        for name in begun_as:
            if name == "seed":
                continue
            _compare(name, begun_as[name], given[name], differences)
        if differences:
            listed = "".join(f"\n  {line}" for line in differences)
            raise ExperimentMismatch(
                f"The experiment at {url} was begun with other parameters:{listed}\n"
                "Use its own parameters to carry it on, or another name for a new experiment."
            )


def _compare(where: str, begun: object, now: object, differences: list[str]) -> None:
    if begun == now:
        return
    if isinstance(begun, dict) and isinstance(now, dict):
        was, is_now = cast("dict[str, object]", begun), cast("dict[str, object]", now)
        for key in dict.fromkeys([*was, *is_now]):
            _compare(f"{where}[{key!r}]", was.get(key, _ABSENT), is_now.get(key, _ABSENT), differences)
        return
    differences.append(f"{where}: was {begun!r}, is now {now!r}")


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()
