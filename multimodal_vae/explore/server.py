"""The server of the page: on this machine alone, with a secret address, for requests of its own page only.

It is Python's own ``http.server``, which needs no other package: the page has one user, and all requests are GET
without a body. What other sites in the user's browser could try is refused here:

- a request to another host name, as by DNS rebinding, by its header ``Host``;
- a request of another site's page, by its headers ``Origin`` and ``Sec-Fetch-Site``;
- a request without the token. The address of the page holds it, and the page's script sends it as a header. A cookie
  would be sent to servers on all ports of this machine, also those of other users.
"""

import hmac
import io
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from multimodal_vae.errors import ConfigurationError, MultimodalVAEError
from multimodal_vae.explore.page import Page
from multimodal_vae.explore.session import Session
from multimodal_vae.explore.view import View
from multimodal_vae.synthesis.marks import NOTICE

HOST = "127.0.0.1"
"""The only address on which the server listens."""
LONGEST = 8192
"""Most characters of the address of a request."""

_IDLE_SECONDS = 120.0
_RESOLUTION = 200


class _Answer(NamedTuple):
    """What a request gets."""

    status: HTTPStatus
    kind: str
    content: bytes


class Server(ThreadingHTTPServer):
    """Serves the page and the pictures of a session; :meth:`serve_forever` runs until it is interrupted.

    Args:
        session: what is shown.
        page: the page.
        port: port to listen on; 0 for a free one.

    Attributes:
        token: the secret of the address.

    Raises:
        ConfigurationError: if the port cannot be used.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # on Windows, another program could take over the port
    allow_reuse_port = False

    def __init__(self, session: Session, page: Page, port: int = 0) -> None:
        self.session, self.page, self.token = session, page, secrets.token_urlsafe(24)
        self.lock = threading.Lock()  # neither the model nor matplotlib is used by several threads at once
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"port {port} cannot be used: {error.strerror}; give another --port, or 0 for a free one"
            ) from error

    def server_bind(self) -> None:
        """Bind the socket; the base class would also look up a name of this machine, perhaps in the network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.server_port}"

    @property
    def address(self) -> str:
        """Address of the page, with the token."""
        return f"{self.origin}/?token={self.token}"

    def knows(self, token: str) -> bool:
        """Return whether a token is right, in a time that does not depend on it."""
        return hmac.compare_digest(token.encode(), self.token.encode())


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mmvae", ""
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer a request."""
        try:
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query, max_num_fields=8))
        except ValueError:
            self._send(_error(HTTPStatus.BAD_REQUEST, "the address is invalid, or has too many fields"))
        else:
            self._send(self._refusal() or self._permitted(address.path, query))

    def _refusal(self) -> _Answer | None:
        """Return the answer to a request that no page of this server would send, whatever it asks for."""
        if self.headers.get("Host") != f"{HOST}:{self.server.server_port}":
            return _error(HTTPStatus.FORBIDDEN, f"only {self.server.origin} is served; open the printed address")
        others = self.headers.get("Origin", self.server.origin) != self.server.origin
        if others or self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return _error(HTTPStatus.FORBIDDEN, "requests of other sites are refused; paste the printed address")
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # the body is not read
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request has no body")
        if len(self.path) > LONGEST:
            return _error(HTTPStatus.REQUEST_URI_TOO_LONG, f"the address has more than {LONGEST} characters")
        return None

    def _permitted(self, path: str, query: Mapping[str, str]) -> _Answer:
        """Return the answer if the request has the token."""
        scheme, _, sent = self.headers.get("Authorization", "").partition(" ")
        token = query.get("token", "") if path == "/" else sent if scheme == "Bearer" else ""
        if not self.server.knows(token):
            return _error(
                HTTPStatus.FORBIDDEN, "the token is missing or wrong; open the address that the command printed"
            )
        if path == "/":
            return _Answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page.content)
        if path not in _ANSWERS:
            return _error(HTTPStatus.NOT_FOUND, "there is no such page")
        try:
            with self.server.lock:
                return _ANSWERS[path](self.server.session, query)
        except MultimodalVAEError as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def end_headers(self) -> None:
        """Add the headers of all answers, errors of the base class included."""
        for name, value in {
            "Content-Security-Policy": self.server.page.policy,
            "Cache-Control": "no-store",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }.items():
            self.send_header(name, value)
        super().end_headers()

    def handle(self) -> None:
        """Answer the requests of a connection until either side closes it."""
        try:
            super().handle()
        except ConnectionError:  # the browser has left
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class names it)
        """Print nothing."""


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> _Answer:
    return _Answer(status, "application/json", json.dumps(value).encode())


def _error(status: HTTPStatus, message: str) -> _Answer:
    return _json({"error": message}, status)


def _view(query: Mapping[str, str]) -> View:
    return View.read(query.get("view", ""))


def _sample(session: Session, query: Mapping[str, str]) -> _Answer:
    view = _view(query)
    return _json(session.position(view.label, view.seed or 0))


def _figure(session: Session, query: Mapping[str, str]) -> _Answer:
    buffer, view = io.BytesIO(), _view(query)
    metadata = {"Warning": NOTICE, "Description": view.model_dump_json()}
    session.figure(view).savefig(buffer, format="png", dpi=_RESOLUTION, bbox_inches="tight", metadata=metadata)
    return _Answer(HTTPStatus.OK, "image/png", buffer.getvalue())


_ANSWERS: Mapping[str, Callable[[Session, Mapping[str, str]], _Answer]] = {
    "/directions": lambda session, query: _json(session.describe(_view(query).label)),
    "/sample": _sample,
    "/pictures": lambda session, query: _json(session.draw(_view(query))),
    "/neighbors": lambda session, query: _json(session.neighbors(_view(query))),
    "/figure": _figure,
}
