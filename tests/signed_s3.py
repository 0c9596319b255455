"""An S3 server that checks signatures (version 4), in front of `tests.s3_server`, which serves anybody."""

import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import urlsplit

from tests.fault_proxy import Fault, fault_proxy


@dataclass(frozen=True)
class Credentials:
    """An access key, with a session token."""

    key: str = "AKIDOFTHETESTS"
    secret: str = field(default="sesame+open/Secret-0123456789", repr=False)
    token: str = field(default="a-session-token-0123456789", repr=False)


@dataclass
class SignedS3:
    """A running server.

    Attributes:
        endpoint: Its address.
        asked: Method, path and whether the signature was right, of each request.
    """

    credentials: Credentials
    endpoint: str = ""
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def granted(self, method: str) -> list[str]:
        """Paths of the requests with this method that were signed as they should be."""
        return [path for asked, path, right in self.asked if asked == method and right]

    def judge(self, method: str, path: str, headers: Message) -> Fault | None:
        """What a request meets with."""
        right = _signature_is_right(self.credentials, method, path, headers)
        with self._lock:
            self.asked.append((method, path, right))
        return None if right else Fault.DENIED


@contextmanager
def signed_s3(endpoint: str, credentials: Credentials | None = None) -> Iterator[SignedS3]:
    """A server before the one at `endpoint`, for one access key."""
    server = SignedS3(credentials or Credentials())
    with fault_proxy(endpoint, server.judge, with_headers=True) as server.endpoint:
        yield server


def _signature_is_right(credentials: Credentials, method: str, path: str, headers: Message) -> bool:
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    given = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    key, _, scope = given.get("Credential", "").partition("/")
    if scheme != "AWS4-HMAC-SHA256" or key != credentials.key:
        return False
    if headers.get("x-amz-security-token") != credentials.token:
        return False
    signed, url = given["SignedHeaders"], urlsplit(path)
    canonical = [
        method,
        url.path,
        "&".join(sorted(part if "=" in part else f"{part}=" for part in url.query.split("&") if part)),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed.split(";")),
        "",
        signed,
        headers["x-amz-content-sha256"],
    ]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    signing = f"AWS4{credentials.secret}".encode()
    for part in (*scope.split("/"), "\n".join([scheme, headers["x-amz-date"], scope, digest])):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return hmac.compare_digest(signing.hex(), given["Signature"])
