"""The S3 server of the tests, where it has to be as S3 is."""

import socket
from urllib.parse import urlsplit

from tests.s3_server import S3Server
from tune_flows.store import ObjectStore


def test_what_a_killed_client_did_not_send_whole_is_not_there(s3: S3Server, s3_url: str):
    address = urlsplit(s3.endpoint)
    with socket.create_connection((address.hostname, address.port), timeout=20) as client:
        path = s3_url.removeprefix("s3:/")
        head = f"PUT {path}/log/1 HTTP/1.1\r\nHost: {address.netloc}\r\nIf-None-Match: *\r\n"
        client.sendall(f"{head}Content-Length: 100\r\n\r\nhalf of it".encode())
        client.shutdown(socket.SHUT_WR)
        assert b"400" in client.recv(1000).partition(b"\r\n")[0]

    assert ObjectStore(s3_url).get("log/1") is None
