r"""The envelope of every stored document: one JSON line with version and checksum, then JSON lines.

    {"v":1,"kind":"data", ... ,"sha256":"<64 hex digits>"}\n
    {...}\n
    {...}\n

The checksum covers all bytes of the object with `,"sha256":"..."` taken out of its first line, so that no
flipped bit, lost tail or appended data goes unnoticed. Text is strict JSON in ASCII. Large documents are
gzipped under the same key; the first two bytes show it. All versions share this envelope, so that a newer
document can be distinguished from a damaged one.
"""

import gzip
import hashlib
import json
import zlib
from typing import Any, NoReturn, cast

from tune_flows.core.errors import CorruptJournalError

__all__ = [
    "FORMAT_VERSION",
    "GZIP_FROM_BYTES",
    "EncodedJson",
    "NewerFormatError",
    "decode_envelope",
    "decode_json",
    "encode_envelope",
    "encode_json",
]

FORMAT_VERSION = 1
GZIP_FROM_BYTES = 16 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_SEAL_START = b',"sha256":"'
_SEAL_LENGTH = len(_SEAL_START) + 64 + 2


class EncodedJson(bytes):
    """Output of `encode_json`, which `encode_gradually` copies in place of the value."""


class NewerFormatError(CorruptJournalError):
    """An undamaged object in a format that this release does not know. Final for this release."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Created once: json.dumps with options builds an encoder for each call, which costs more than a small record.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def encode_json(value: object) -> bytes:
    """Encode a value as one line of strict JSON in ASCII.

    Raises:
        ValueError: A number is NaN or infinite; the caller must encode it first.
        TypeError: A value has no JSON form.
    """
    return _encode(value).encode("ascii")


def decode_json(text: bytes) -> object:
    """Decode one line of JSON; raise ValueError for anything but strict JSON."""
    return _decode(text.decode("ascii"))


def encode_envelope(head: dict[str, Any], body: bytes = b"", *, compress: bool = False) -> bytes:
    """Return the bytes of a document.

    Args:
        head: The fields of the first line besides version and checksum.
        body: JSON lines, each with its newline.
        compress: Whether a large document is compressed with gzip.
    """
    first = encode_json({"v": FORMAT_VERSION, **head})[:-1]
    digest = hashlib.sha256(b"%b}\n%b" % (first, body)).hexdigest().encode()
    data = b'%b%b%b"}\n%b' % (first, _SEAL_START, digest, body)
    if compress and len(data) >= GZIP_FROM_BYTES:
        # No time stamp: equal content must give equal bytes, by which `create` recognises its own write.
        return gzip.compress(data, compresslevel=6, mtime=0)
    return data


def decode_envelope(data: bytes, *, where: str, kind: str | None = None) -> tuple[dict[str, Any], bytes]:
    """Verify a document and return its head and body.

    Args:
        data: The stored bytes.
        where: Path or URL of the object, for the message.
        kind: The required `kind`; None: any.

    Raises:
        CorruptJournalError: Torn, changed, foreign or of a newer format (`NewerFormatError` if whole). Final.
    """
    first, body = _split(_unzipped(data, where), where)
    try:
        head = decode_json(first)
    except (ValueError, RecursionError) as error:
        raise _corrupt(where, f"its first line is not JSON ({error})") from error
    if not isinstance(head, dict):
        raise _corrupt(where, "its first line is not a JSON object")
    head = cast("dict[str, Any]", head)
    inner = first[:-_SEAL_LENGTH]
    digest = hashlib.sha256(b"%b}\n%b" % (inner, body)).hexdigest().encode()
    whole = first == b'%b%b%b"}' % (inner, _SEAL_START, digest)
    _require_version(head.get("v"), where, whole=whole)
    if not whole:
        raise _corrupt(where, "its checksum does not match: a part is missing or changed")
    if kind is not None and head.get("kind") != kind:
        raise _corrupt(where, f"it is of kind {head.get('kind')!r}, expected {kind!r}")
    return head, body


def _unzipped(data: bytes, where: str) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise _corrupt(where, f"it cannot be decompressed ({error})") from error


def _split(data: bytes, where: str) -> tuple[bytes, bytes]:
    first, newline, body = data.partition(b"\n")
    if not newline:
        raise _corrupt(where, f"its first line has no end ({len(data)} bytes)")
    return first, body


def _require_version(version: object, where: str, *, whole: bool) -> None:
    if type(version) is not int or version < 1:
        raise _corrupt(where, f"it has no format version (v is {version!r})")
    if version > FORMAT_VERSION:
        # Also for a damaged one: the version may be a flipped bit, but it may also be truly newer.
        raise (NewerFormatError if whole else CorruptJournalError)(
            f"{where}: written in format {version}, this library reads up to {FORMAT_VERSION}: a newer "
            "tune_flows wrote it. Install that release or a later one."
        )


def _corrupt(where: str, why: str) -> CorruptJournalError:
    return CorruptJournalError(
        f"{where}: not a whole tune_flows object: {why}. Restore it from a backup, or start anew under "
        "another name."
    )
