"""Encode a large value as JSON in small pieces, so that other threads can run in between.

Encoding in one piece would hold the GIL throughout: a tenth of a second for 10,000 trials.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from tune_flows.store.envelope import EncodedJson, encode_json

__all__ = ["encode_gradually"]

_BATCH = 16
_REST_AFTER_BYTES = 64 * 1024
_REST_S = 0.0005


def encode_gradually(value: object) -> bytes:
    """Encode a value like `encode_json`, with a pause after about every millisecond of work.

    An `EncodedJson` in it is copied as is; in a large container, either all items or none must be such.

    Raises:
        ValueError, TypeError: As `encode_json`.
    """
    pieces: list[bytes] = []
    since_rest = 0
    for piece in _pieces(value):
        pieces.append(piece)
        since_rest += len(piece)
        if since_rest >= _REST_AFTER_BYTES:
            since_rest = 0
            time.sleep(_REST_S)
    return b"".join(pieces)


def _pieces(value: object) -> Iterator[bytes]:
    """Yield the pieces of the JSON text: small containers item by item, large ones in batches of items."""
    if isinstance(value, EncodedJson):
        yield value
        return
    if not isinstance(value, dict | list) or not value:
        yield encode_json(cast("object", value))
        return
    container = cast("dict[Any, Any] | list[Any]", value)
    start, end = (b"{", b"}") if isinstance(container, dict) else (b"[", b"]")
    large = len(container) > _BATCH and not _is_encoded(container)
    yield start
    for number, some in enumerate(_parts(container, _BATCH if large else 1)):
        if number:
            yield b","
        if large:
            yield encode_json(some)[1:-1]
        elif isinstance(some, dict):
            ((key, item),) = some.items()
            yield encode_json({key: 0})[1:-2]
            yield from _pieces(item)
        else:
            yield from _pieces(some[0])
    yield end


def _is_encoded(container: dict[Any, Any] | list[Any]) -> bool:
    items = container.values() if isinstance(container, dict) else container
    return isinstance(next(iter(items)), EncodedJson)


def _parts(container: dict[Any, Any] | list[Any], size: int) -> Iterator[dict[Any, Any] | list[Any]]:
    if isinstance(container, dict):
        items = iter(container.items())
        while some := dict(islice(items, size)):
            yield some
    else:
        for begin in range(0, len(container), size):
            yield container[begin : begin + size]
