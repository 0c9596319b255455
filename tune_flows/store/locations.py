"""Where an experiment lies: the storage URL, the experiment's name, and what may stand in either."""

import os
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from tune_flows.core.errors import InvalidParameter

__all__ = [
    "BLOCK_PREFIX",
    "CREDENTIALS_IN_URL",
    "STORAGE_VARIABLE",
    "experiment_url",
    "is_local",
    "local_path",
    "protocol_of",
    "refuse_credentials",
    "resolve_storage",
]

BLOCK_PREFIX = "block:"
STORAGE_VARIABLE = "TUNE_FLOWS_STORAGE"
DEFAULT_STORAGE = "~/.tune_flows"
_EXAMPLES = "Examples: '/data/tuning', 's3://bucket/tuning', 'gs://bucket/tuning' (with gcsfs installed)."
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
CREDENTIALS_IN_URL = r"(?!\s*(?:file|local):///)[^/]*:/+[^/:]*:[\s\S]*@"
"""How a URL with a password begins: a colon before the path, and an @ anywhere after it.

The password may have slashes that are not encoded. Such a URL cannot be told from one with a port and an @ in
its path, which is refused too. JavaScript, of the run form, has to understand the expression as well.
"""


def resolve_storage(storage_path: str | None, *, parameter: str = "storage_path") -> str:
    """The storage a run uses: an absolute local path, or a URL without a trailing slash.

    Args:
        storage_path: A local path, a `file://` URL or the URL of anything that fsspec knows. None or an empty
            string takes the variable TUNE_FLOWS_STORAGE and, without it, `~/.tune_flows`. Space around it is
            dropped.
        parameter: What the caller calls it, for the message.

    Raises:
        InvalidParameter: The protocol is unknown or needs a package that is not installed, the URL names no
            bucket or holds credentials, or it names a block (`storage.locate` takes those). Final.
    """
    named = (storage_path or "").strip() or os.environ.get(STORAGE_VARIABLE, "").strip()
    given = named or DEFAULT_STORAGE
    refuse_credentials(given, parameter)
    if given.startswith(BLOCK_PREFIX):
        raise InvalidParameter.of(parameter, given, "a folder or a URL here, not a block", _EXAMPLES)
    if "::" in given:
        shown = f"{given.partition('::')[0]}::..."  # what follows may hold a password
        raise InvalidParameter.of(
            parameter, shown, "a plain URL", f"A cache would hide other drivers. {_EXAMPLES}"
        )
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/(?!/)", given):
        raise InvalidParameter.of(parameter, given, "a URL with two slashes after the colon", _EXAMPLES)
    if is_local(given):
        return local_path(given, parameter=parameter)
    protocol, rest = protocol_of(given), given.split("://", 1)[1]
    protocol = "s3" if protocol == "s3a" else protocol
    if not rest.strip("/") or not rest.isprintable() or "?" in rest or "#" in rest:
        shown = re.sub(r"([?#]).*", r"\1...", given)  # a query may hold a token
        raise InvalidParameter.of(parameter, shown, "a URL with a bucket and no query", _EXAMPLES)
    _require_known(protocol, given, parameter)
    return f"{protocol}://{rest.rstrip('/')}"


def experiment_url(storage_path: str, name: str) -> str:
    """The URL of one experiment under a resolved storage path.

    Raises:
        InvalidParameter: The name is empty, too long or holds a character that could leave the folder. Final.
    """
    if not _NAME.fullmatch(name) or not name.strip("."):
        raise InvalidParameter.of("name", name, "1 to 200 letters, digits, '.', '_' or '-', not only dots")
    return f"{storage_path.rstrip('/')}/{name}"


def refuse_credentials(url: str, parameter: str) -> None:
    """Refuse a URL that holds a password, without repeating it.

    Raises:
        InvalidParameter: `s3://key:secret@bucket` and the like. Final.
    """
    if re.match(CREDENTIALS_IN_URL, url):
        shown = f"{url.partition(':')[0].strip()}://***@{url.rpartition('@')[2]}"
        hint = (
            "Put them into an ExperimentStorage block, or the environment (AWS_ACCESS_KEY_ID, ...). A colon "
            "before the path and an @ anywhere after it count as a password, since one may have slashes."
        )
        raise InvalidParameter.of(parameter, shown, "a URL without credentials", hint)


def protocol_of(url: str) -> str:
    """The protocol of a URL in lower case; `file` for a bare path."""
    found = _PROTOCOL.match(url)
    return found[1].lower() if found else "file"


def is_local(url: str) -> bool:
    """Whether the URL means a folder of this machine."""
    return protocol_of(url) in ("file", "local")


def local_path(url: str, *, parameter: str = "storage_path") -> str:
    """The absolute path that a local URL or path means; `~` is the home directory."""
    if not _PROTOCOL.match(url):
        return os.path.abspath(os.path.expanduser(url))
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise InvalidParameter.of(parameter, url, "an absolute path after file://", "Write file:///folder.")
    return os.path.abspath(unquote(parts.path))


def _require_known(protocol: str, given: str, parameter: str) -> None:
    if protocol == "s3":
        return  # a dependency of ours: no need to import it for that
    import fsspec

    library: Any = fsspec  # it has no types

    try:
        library.get_filesystem_class(protocol)
    except ValueError as error:
        raise InvalidParameter.of(parameter, given, "a protocol that fsspec knows", _EXAMPLES) from error
    except ImportError as error:
        raise InvalidParameter.of(
            parameter, given, f"{protocol}:// to be usable here", f"{error}."
        ) from error
