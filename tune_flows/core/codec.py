"""Events and decisions as JSON records: `{"type": "ResultsReported", ...fields}`, and back.

The names and fields of the dataclasses are the stored format: they only grow, and a field that is added
gets a default. What is not known here was written by a newer version, and is refused. Non-finite floats
travel as `tune_flows.core.json_values` says.
"""

from collections.abc import Mapping, Sequence
from types import GenericAlias, UnionType
from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tune_flows.core.decisions import DecisionRecord, Record
from tune_flows.core.errors import CorruptJournalError
from tune_flows.core.events import Event
from tune_flows.core.json_values import from_json, to_json
from tune_flows.core.state import ExperimentState

__all__ = ["partition", "record_from_json", "record_to_json", "state_from_json", "state_to_json"]


def _adapters(union: UnionType) -> dict[str, TypeAdapter[Any]]:
    # Pydantic takes no configuration for a dataclass itself, but one within a tuple goes by the tuple's.
    strict = ConfigDict(extra="forbid")
    kinds: tuple[type, ...] = get_args(union)
    forms: dict[str, Any] = {kind.__name__: GenericAlias(tuple, kind) for kind in kinds}
    return {name: TypeAdapter(form, config=strict) for name, form in forms.items()}


_ADAPTERS = _adapters(Event) | _adapters(DecisionRecord)
_STATE: TypeAdapter[tuple[ExperimentState]] = TypeAdapter(
    tuple[ExperimentState], config=ConfigDict(extra="forbid")
)


def record_to_json(record: Record) -> dict[str, Any]:
    """The record as a JSON object."""
    name = type(record).__name__
    fields: dict[str, Any] = _ADAPTERS[name].dump_python((record,))[0]
    return {"type": name, **{field: to_json(value) for field, value in fields.items()}}


def record_from_json(data: Mapping[str, Any]) -> Record:
    """The record that `data` stands for.

    Raises:
        CorruptJournalError: It is no record that this version knows.
    """
    fields = dict(data)
    name = fields.pop("type", None)
    adapter = _ADAPTERS.get(str(name))
    if adapter is None:
        raise CorruptJournalError(
            f"record of type {name!r}: this version knows {', '.join(sorted(_ADAPTERS))}."
        )
    try:
        return adapter.validate_python(({field: from_json(value) for field, value in fields.items()},))[0]
    except ValidationError as error:
        raise CorruptJournalError(f"record of type {name!r} cannot be read: {error}") from error


def state_to_json(state: ExperimentState) -> dict[str, Any]:
    """The state as a JSON object, for snapshots."""
    return to_json(_STATE.dump_python((state,))[0])


def state_from_json(data: Mapping[str, Any]) -> ExperimentState:
    """The state that `state_to_json` wrote.

    Raises:
        CorruptJournalError: It is no state that this version knows.
    """
    try:
        return _STATE.validate_python((from_json(data),))[0]
    except ValidationError as error:
        raise CorruptJournalError(f"the state in a snapshot cannot be read: {error}") from error


def partition(records: Sequence[Record]) -> tuple[list[Event], list[DecisionRecord]]:
    """What happened, and what was decided."""
    events = [record for record in records if isinstance(record, Event)]
    return events, [record for record in records if not isinstance(record, Event)]
