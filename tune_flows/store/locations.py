"""The location of an experiment: storage URL and experiment name, and the validation of both."""

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
"""Matches the start of a URL with a password: a colon before the path, and an @ anywhere after it.

The password may contain unencoded slashes. A URL with a port and an @ in its path looks the same and is
rejected too. The expression must also be valid in JavaScript, for the run form.
"""


def resolve_storage(storage_path: str | None, *, parameter: str = "storage_path") -> str:
    """Return the storage of a run: an absolute local path, or a URL without a trailing slash.

    Args:
        storage_path: A local path, a `file://` URL or a URL with a protocol of fsspec. None or an empty
            string means the variable TUNE_FLOWS_STORAGE and, if that is not set, `~/.tune_flows`.
            Surrounding white space is removed.
        parameter: The name of the caller's parameter, for the error message.

    Raises:
        InvalidParameter: The protocol is unknown or needs a package that is not installed, the URL has no
            bucket or contains credentials, or it names a block (see `storage.locate`). Final.
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
    """Return the URL of one experiment under a resolved storage path.

    Raises:
        InvalidParameter: The name is empty, too long, only dots or has a character not allowed. Final.
    """
    if not _NAME.fullmatch(name) or not name.strip("."):
        raise InvalidParameter.of("name", name, "1 to 200 letters, digits, '.', '_' or '-', not only dots")
    return f"{storage_path.rstrip('/')}/{name}"


def refuse_credentials(url: str, parameter: str) -> None:
    """Reject a URL that contains a password, without showing the password.

    Raises:
        InvalidParameter: The URL is like `s3://key:secret@bucket`. Final.
    """
    if re.match(CREDENTIALS_IN_URL, url):
        shown = f"{url.partition(':')[0].strip()}://***@{url.rpartition('@')[2]}"
        hint = (
            "Put them into an ExperimentStorage block, or the environment (AWS_ACCESS_KEY_ID, ...). A colon "
            "before the path and an @ anywhere after it count as a password, since one may have slashes."
        )
        raise InvalidParameter.of(parameter, shown, "a URL without credentials", hint)


def protocol_of(url: str) -> str:
    """Return the protocol of a URL in lower case; `file` for a bare path."""
    found = _PROTOCOL.match(url)
    return found[1].lower() if found else "file"


def is_local(url: str) -> bool:
    """Return whether the URL means a folder of this machine."""
    return protocol_of(url) in ("file", "local")


def local_path(url: str, *, parameter: str = "storage_path") -> str:
    """Return the absolute path of a local URL or path; `~` is the home directory."""
    if not _PROTOCOL.match(url):
        return os.path.abspath(os.path.expanduser(url))
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise InvalidParameter.of(parameter, url, "an absolute path after file://", "Write file:///folder.")
    return os.path.abspath(unquote(parts.path))


def _require_known(protocol: str, given: str, parameter: str) -> None:
    if protocol == "s3":
        return  # s3fs is a dependency of tune_flows: no need to import it for the check
    import fsspec

    library: Any = fsspec  # fsspec has no type hints

    try:
        library.get_filesystem_class(protocol)
    except ValueError as error:
        raise InvalidParameter.of(parameter, given, "a protocol that fsspec knows", _EXAMPLES) from error
    except ImportError as error:
        raise InvalidParameter.of(
            parameter, given, f"{protocol}:// to be usable here", f"{error}."
        ) from error
