"""The experiment's header: one object, written once; the experiment exists if and only if it exists."""

from dataclasses import dataclass
from typing import Any, cast

from tune_flows.core.errors import CorruptJournalError
from tune_flows.store.envelope import decode_envelope, encode_envelope
from tune_flows.store.objects import ObjectStore

__all__ = ["HEADER_KEY", "Header", "create_header", "read_header"]

HEADER_KEY = "experiment.json"


@dataclass(frozen=True, slots=True)
class Header:
    """A stored header.

    Attributes:
        content: The content stored by the layer above.
        sha256: The document's checksum, which identifies the experiment.
        library: Version of tune_flows that created the experiment.
        created_at: Time of creation, seconds since 1970, by the writer's clock.
    """

    content: dict[str, Any]
    sha256: str
    library: str
    created_at: float


def create_header(store: ObjectStore, content: dict[str, Any], *, created_at: float) -> bool:
    """Create the header; return whether it now exists with this content."""
    head = {"kind": "experiment", "library": _library_version(), "created_at": created_at}
    return store.create(HEADER_KEY, encode_envelope({**head, "header": content}))


def read_header(store: ObjectStore) -> Header | None:
    """Return the header, or None if there is no experiment.

    Raises:
        CorruptJournalError: The header is torn, foreign or of a newer format. Final.
    """
    data = store.get(HEADER_KEY)
    if data is None:
        return None
    head, _ = decode_envelope(data, where=store.url_of(HEADER_KEY), kind="experiment")
    content: object = head.get("header")
    if not isinstance(content, dict):
        raise CorruptJournalError(f"{store.url_of(HEADER_KEY)}: it holds no header.")
    library, created_at = head.get("library"), head.get("created_at")
    if not isinstance(library, str) or not isinstance(created_at, int | float):
        raise CorruptJournalError(f"{store.url_of(HEADER_KEY)}: its first line lacks library or created_at.")
    return Header(cast("dict[str, Any]", content), head["sha256"], library, float(created_at))


def _library_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # 14 ms, only for new experiments

    try:
        return version("tune_flows")
    except PackageNotFoundError:
        return "unknown"
