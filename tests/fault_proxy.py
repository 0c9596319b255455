"""An HTTP proxy on loopback that spoils chosen requests, to stand between an S3 client and `tests.s3_server`.

It passes the client's headers on untouched (also Host, so that signatures hold) and answers `100-continue`
itself.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Fault(Enum):
    """What happens to one request."""

    LOST_REPLY = auto()  # done by the server, then the connection breaks
    RESET = auto()  # the connection breaks before the server hears of it
    STALL = auto()  # no answer, not even to 100-continue, until the proxy ends
    TORN_REPLY = auto()  # half of the body, then the connection breaks
    DELAY = auto()  # answered a second later
    IGNORED_CONDITION = auto()  # If-None-Match is taken out, as by a server that does not know it
    SLOW_DOWN = 503
    INTERNAL = 500
    CONFLICT = 409
    DENIED = 403


_CODES = {
    Fault.SLOW_DOWN: "SlowDown",
    Fault.INTERNAL: "InternalError",
    Fault.CONFLICT: "ConditionalRequestConflict",
    Fault.DENIED: "AccessDenied",
}
DELAY_S = 1.0
Decide = Callable[..., Fault | None]


@contextmanager
def fault_proxy(endpoint: str, decide: Decide, *, with_headers: bool = False) -> Iterator[str]:
    """The address of a proxy to `endpoint`; `decide(method, path)` is asked once for each request.

    `with_headers`: it is given the request's headers, too.
    """
    target = urlsplit(endpoint).netloc
    ended = threading.Event()

    class Handler(_Handler):
        pass

    Handler.target, Handler.decide, Handler.ended = target, staticmethod(decide), ended
    Handler.with_headers = with_headers
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: no waiting for a delayed acknowledgement
    target: str
    decide: Decide
    with_headers: bool
    ended: threading.Event
    fault: Fault | None
    decided = False

    def handle_expect_100(self):
        self._ask()
        if self.fault is Fault.STALL:
            self._break()
            return False
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wfile.flush()
        return True

    def _serve(self):
        if not self.decided:
            self._ask()
        self.decided = False
        body = self._body()
        if self.fault in (Fault.RESET, Fault.STALL):
            self._break()
        elif self.fault in _CODES:
            self._refuse(self.fault)
        else:
            self._forward(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _ask(self):
        about = [self.headers] if self.with_headers else []
        self.fault = self.decide(self.command, self.path, *about)
        self.decided = True

    def _body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        raw = b""
        while True:
            line = self.rfile.readline()
            size = int(line.split(b";")[0], 16)
            raw += line + self.rfile.read(size) + self.rfile.readline()
            if size == 0:
                return raw

    def _forward(self, body):
        if self.fault is Fault.DELAY:
            self.ended.wait(DELAY_S)
        connection = HTTPConnection(self.target)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        dropped = {"expect", *(["if-none-match"] if self.fault is Fault.IGNORED_CONDITION else [])}
        for name, value in self.headers.items():
            if name.lower() not in dropped:
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if self.fault is Fault.LOST_REPLY:
            self._break()
        else:
            self._reply(response, content)

    def _reply(self, response: HTTPResponse, content: bytes):
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        if self.fault is Fault.TORN_REPLY:
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)

    def _refuse(self, fault: Fault):
        xml = f"<Error><Code>{_CODES[fault]}</Code><Message>spoiled</Message></Error>".encode()
        self.send_response_only(fault.value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(xml)))
        self.end_headers()
        self.wfile.write(xml)

    def _break(self):
        if self.fault is Fault.STALL:
            self.ended.wait()
        self.close_connection = True

    def log_message(self, format, *args):
        pass
