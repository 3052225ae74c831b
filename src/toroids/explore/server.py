"""The page's server: on this machine only, reading only, for no other site."""

import json
import os
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from socketserver import ThreadingTCPServer
from typing import Any, Self
from urllib.parse import SplitResult, parse_qs, urlsplit

from plotly.offline import get_plotlyjs

from toroids.errors import ToroidsError, one_line
from toroids.explore.answers import Answers, Refused
from toroids.explore.queue import LOOK, Gone

LOOPBACK = "127.0.0.1"
# Headers that say from where a request comes.
SENDERS = ("Origin", "Referer")
NAMES = (LOOPBACK, "localhost", "[::1]")
# Tried in order when no port is asked for, so that a page's address usually stays what it was.
PORTS = range(8421, 8431)
HEADERS = {
    # plotly.js writes style elements, so styles may be inline; scripts may not, nor use eval
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",  # another run may be served at the same address
}
# A page that holds its own scripts says itself, by their checksums, which may be run.
WHOLE = {"Content-Security-Policy": "frame-ancestors 'none'; connect-src 'none'"}
JSON, HTML = "application/json; charset=utf-8", "text/html; charset=utf-8"
FAMILY = "/family.html"
TYPES = {
    "/": HTML,
    "/app.js": "text/javascript; charset=utf-8",
    "/charts.js": "text/javascript; charset=utf-8",
    "/app.css": "text/css; charset=utf-8",
    "/plotly.js": "text/javascript; charset=utf-8",
}
# Requests that are answered at the same time; who comes after them is told so at once.
MOST_AT_ONCE = 256
BUSY = b'{"error": "too many ask at the same time; ask again in a while."}'
# Seconds from a connection to the end of its request; who sends a byte now and then is let go.
ASKING = 20.0
# Seconds that a computation gets to reach a point where it can end.
PATIENCE = 5.0


class ExploreServer(ThreadingTCPServer):
    """Serves the page of one run on the loopback interface; use it in a `with` block."""

    daemon_threads = True  # a browser that keeps a connection open must not keep the command
    block_on_close = False
    # Connections that wait to be taken; where they are too few, a browser tries again much later.
    request_queue_size = 512
    allow_reuse_address = os.name != "nt"  # there it lets two servers take the same port

    def __init__(self, answers: Answers, port: int | None = None) -> None:
        """Takes a port.

        Args:
            answers: about the run.
            port: 0 for any that is free; the first free one from 8421 on when None.

        Raises:
            ToroidsError: the port is taken, or is no port.
        """
        self.answers = answers
        self.stopping = threading.Event()
        self._free = threading.Semaphore(MOST_AT_ONCE)
        self._asking: dict[socket.socket, float] = {}  # since when
        self._take((*PORTS, 0) if port is None else (port,))
        self.port: int = self.server_address[1]
        self.hosts = {f"{name}:{self.port}" for name in NAMES}
        if self.port == 80:  # which browsers leave out
            self.hosts |= set(NAMES)

    def _take(self, ports: tuple[int, ...]) -> None:
        for port in ports:
            try:
                super().__init__((LOOPBACK, port), _Handler)
                return
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                failure = ToroidsError(
                    f"port {port} cannot be used ({reason}); choose another, or 0 for any that is "
                    "free."
                )
        raise failure

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.port}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        self.server_close()
        self.answers.finish(PATIENCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread of its own, or says that there are too many."""
        if self._free.acquire(blocking=False):
            self._asking[request] = time.monotonic()
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.settimeout(LOOK)
            request.recv(2**16)  # a connection with something unread is reset, the answer lost
            request.sendall(
                b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                b"Retry-After: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(BUSY), BUSY)
            )
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers, and makes room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.has_asked(request)
            self._free.release()

    def has_asked(self, request: socket.socket) -> None:
        """Takes note that a request has come to its end."""
        self._asking.pop(request, None)

    def service_actions(self) -> None:
        """Lets those go who take too long to ask."""
        late = time.monotonic() - ASKING
        for request in [request for request, since in self._asking.copy().items() if since < late]:
            self.has_asked(request)
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that hung up, which is no error."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One request: checked, answered, closed."""

    server: ExploreServer
    timeout = 60  # seconds to send a request or to take its answer

    def parse_request(self) -> bool:
        """Reads what is asked, after which only the answer takes time."""
        try:
            return super().parse_request()
        finally:
            self.server.has_asked(self.connection)

    def do_GET(self) -> None:
        """Answers, or says why not."""
        try:
            url = self._url()
            self._check_sender(url.path)
            body, kind = self._body(url.path, parse_qs(url.query, keep_blank_values=True))
            headers = WHOLE if url.path == FAMILY else None
        except Refused as refusal:
            self._refuse(refusal.status, str(refusal))
        except ToroidsError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Gone:
            self.close_connection = True
        except Exception as error:
            traceback.print_exc()
            self._refuse(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"this failed unexpectedly ({type(error).__name__}: {error}); the terminal shows "
                "where.",
            )
        else:
            self._send(HTTPStatus.OK, body, kind, headers)

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        self._refuse(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{self.command} changes something, and this page only reads; use GET.",
            {"Allow": "GET, HEAD"},
        )

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse_method

    def _url(self) -> SplitResult:
        try:
            return urlsplit(self.path)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "this is no address; open `/`.") from error

    def _check_sender(self, path: str) -> None:
        """Refuses what another site lets a browser ask, by a name of its own or from its pages."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise Refused(
                HTTPStatus.FORBIDDEN, f"this page is only at {self.server.url}; open it there."
            )
        site = self.headers.get("Sec-Fetch-Site", "none")
        foreign = site not in ("none", "same-origin") or any(map(self._is_foreign, SENDERS))
        if path != "/" and foreign:
            raise Refused(
                HTTPStatus.FORBIDDEN, f"another site asks for this; open {self.server.url}."
            )

    def _is_foreign(self, header: str) -> bool:
        """Whether a header names another site, as browsers without Sec-Fetch-Site send it."""
        sent = self.headers.get_all(header, [])
        ours = {f"http://{host}" for host in self.server.hosts}
        return any("/".join(text.lower().split("/")[:3]) not in ours for text in sent)

    def _body(self, path: str, query: dict[str, list[str]]) -> tuple[bytes, str]:
        if path in TYPES:
            return _file(path), TYPES[path]
        answers = self.server.answers
        if path == "/networks.json":
            found = answers.networks
        elif path == "/profile.json":
            found = answers.profile(query, self._gone)
        elif path == FAMILY:
            return answers.family(query, self._gone).encode(), HTML
        elif path == "/section.json":
            found = answers.section(query, self._gone)
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page; open `/`.")
        return json.dumps(found, allow_nan=False).encode(), JSON

    def _gone(self) -> bool:
        """Tells whether the browser hung up, as it does when other networks are chosen."""
        if self.server.stopping.is_set():
            return True
        try:
            readable, _, _ = select.select([self.connection], [], [], 0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request that this server knows in its own form."""
        self._refuse(code, f"{message or HTTPStatus(code).phrase}.")

    def _refuse(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error": one_line(sentence)}).encode(), JSON, headers)

    def _send(
        self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        sent = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **HEADERS,
            **(headers or {}),
        }
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Names the server without the version of Python."""
        return "toroids"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Prints nothing: the page shows what failed."""

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing: the page shows what failed."""


@cache
def _file(path: str) -> bytes:
    if path == "/plotly.js":
        return str(get_plotlyjs()).encode()
    name = "page.html" if path == "/" else path.removeprefix("/")
    return files("toroids.explore").joinpath(name).read_bytes()
