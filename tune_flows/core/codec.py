"""Events and decisions as JSON records: `{"type": "ResultsReported", ...fields}`, and back.

The names and fields of the dataclasses are the stored format: names and fields are only ever added, and a new
field has a default. An unknown type or field was written by a newer version and raises an error. Non-finite
floats are encoded as described in `tune_flows.core.json_values`.
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
    # Pydantic accepts no configuration for a dataclass itself, but applies a tuple's to a dataclass in it.
    strict = ConfigDict(extra="forbid")
    kinds: tuple[type, ...] = get_args(union)
    forms: dict[str, Any] = {kind.__name__: GenericAlias(tuple, kind) for kind in kinds}
    return {name: TypeAdapter(form, config=strict) for name, form in forms.items()}


_ADAPTERS = _adapters(Event) | _adapters(DecisionRecord)
_STATE: TypeAdapter[tuple[ExperimentState]] = TypeAdapter(
    tuple[ExperimentState], config=ConfigDict(extra="forbid")
)


def record_to_json(record: Record) -> dict[str, Any]:
    """Return the record as a JSON object."""
    name = type(record).__name__
    fields: dict[str, Any] = _ADAPTERS[name].dump_python((record,))[0]
    return {"type": name, **{field: to_json(value) for field, value in fields.items()}}


def record_from_json(data: Mapping[str, Any]) -> Record:
    """Return the record that a JSON object from `record_to_json` encodes.

    Raises:
        CorruptJournalError: `data` is not a record that this version knows.
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
    """Return the state as a JSON object, for snapshots."""
    return to_json(_STATE.dump_python((state,))[0])


def state_from_json(data: Mapping[str, Any]) -> ExperimentState:
    """Return the state that a JSON object from `state_to_json` encodes.

    Raises:
        CorruptJournalError: `data` is not a state that this version knows.
    """
    try:
        return _STATE.validate_python((from_json(data),))[0]
    except ValidationError as error:
        raise CorruptJournalError(f"the state in a snapshot cannot be read: {error}") from error


def partition(records: Sequence[Record]) -> tuple[list[Event], list[DecisionRecord]]:
    """Split journal records into events and decisions, each in the order of `records`."""
    events = [record for record in records if isinstance(record, Event)]
    return events, [record for record in records if not isinstance(record, Event)]
