"""Classify errors of a file system or of S3: key taken, object missing, final, or retryable.

Servers and fsspec disagree on exception types (a refused create is FileExistsError from one S3 server and
OSError(EINVAL) from another), so the HTTP status and S3's error code take precedence where available.
"""

import errno
from typing import Any, cast

__all__ = ["final_reason", "is_missing", "is_taken"]

_CREDENTIALS = (
    "no usable credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or use an "
    "ExperimentStorage block"
)
_NO_BUCKET = "the bucket does not exist: create it, or correct storage_path (and AWS_ENDPOINT_URL)"
_DENIED = "permission denied: check the credentials and what they may do there (get, put, list, delete)"
_FINAL_BOTO = {
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "CredentialRetrievalError": _CREDENTIALS,
    "TokenRetrievalError": _CREDENTIALS,
    "ProfileNotFound": _CREDENTIALS,
    "ParamValidationError": "S3 does not accept such a bucket name or key: correct storage_path",
    "InvalidRegionError": "no such region: correct AWS_DEFAULT_REGION",
}
# Codes sent with a 4xx status, although a retry usually succeeds.
_RETRYABLE_CODES = frozenset({"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_CLIENT_MODULES = frozenset({"botocore", "aiobotocore", "aiohttp", "fsspec", "asyncio"})
_TRANSIENT_ERRNO = frozenset({errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT})
_LOCAL_ADVICE = {
    errno.ENOENT: "a folder is not there and cannot be made, or was deleted while the experiment ran",
    errno.ENOSPC: "no space left on the device: free some, or choose another storage_path",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another storage_path",
    errno.EROFS: "the file system is read-only: choose another storage_path",
    errno.ENOTDIR: "a part of the path is a file: choose another storage_path",
}
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def is_taken(error: BaseException) -> bool:
    """Return whether the error means that the object already exists."""
    return isinstance(error, FileExistsError) or _answer(error)[0] == 412


def is_missing(error: BaseException) -> bool:
    """Return whether the error means that the object does not exist (in an existing bucket)."""
    return isinstance(error, FileNotFoundError) and _answer(error)[1] != "NoSuchBucket"


def final_reason(error: BaseException, *, local: bool) -> str | None:
    """Return why a retry cannot help and what to do about it, or None for a retryable error.

    Args:
        error: The exception raised by the attempt.
        local: Whether the attempt was on a local file system, where few errors are transient.
    """
    if local:
        return _local_reason(error)
    for cause in _chain(error):
        if type(cause).__name__ in _FINAL_BOTO:
            return _FINAL_BOTO[type(cause).__name__]
    status, code = _answer(error)
    if code == "NoSuchBucket":
        return _NO_BUCKET
    if status is not None:
        return _http_reason(status, code)
    if isinstance(error, PermissionError):
        return _DENIED
    if isinstance(error, FileNotFoundError):
        return "there is no such object or bucket: correct storage_path"
    if isinstance(error, OSError | TimeoutError | EOFError):
        return None
    # The S3 client's errors for a broken connection or a malformed reply have no common base class available
    # without importing it. Other errors are probably bugs, which retries would not fix.
    module = type(error).__module__.partition(".")[0]
    return None if module in _CLIENT_MODULES else "unexpected error"


def _http_reason(status: int, code: str) -> str | None:
    if status >= 500 and status != 501:
        return None
    if status in _RETRYABLE_STATUS or code in _RETRYABLE_CODES:
        return None
    if status in (401, 403):
        return _DENIED
    if status in (301, 307):
        return "the bucket lies in another region: set AWS_DEFAULT_REGION"
    return f"the server refused the request (HTTP {status} {code}): check storage_path and AWS_ENDPOINT_URL"


def _local_reason(error: BaseException) -> str | None:
    if not isinstance(error, OSError):
        return "unexpected error"
    if error.errno in _TRANSIENT_ERRNO:
        return None
    if error.filename2 is not None and error.errno in _NO_LINKS:
        return "this file system has no hard links, which commits need: choose another storage_path"
    if isinstance(error, PermissionError):
        return "permission denied: make the folder writable, or choose another storage_path"
    return _LOCAL_ADVICE.get(error.errno or 0, "the file system refused")


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__
    return found


def _answer(error: BaseException) -> tuple[int | None, str]:
    """Return the HTTP status and the S3 error code of the reply that botocore attached to an error."""
    for cause in _chain(error):
        response: object = getattr(cause, "response", None)
        if isinstance(response, dict):
            reply = cast("dict[str, Any]", response)
            status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return status, str(reply.get("Error", {}).get("Code", ""))
    return None, ""
