"""The witness over HTTP: one call, on threads of the standard library's server.

A witness that the internet reaches belongs behind a proxy that ends TLS and bounds
connections.
"""

import logging
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from arenalab.ledger.witness.cosigning import Answer, Witness
from arenalab.ledger.witness.submission import CALL, MAX_BYTES

_IDLE_S: Final = 30.0
_logger = logging.getLogger(__name__)


class WitnessServer(ThreadingHTTPServer):
    """Serves a witness until it is shut down."""

    def __init__(self, host: str, port: int, witness: Witness) -> None:
        """Listens; port 0 picks a free one.

        Raises:
            OSError: The address cannot be bound.
        """
        self.witness = witness
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    timeout = _IDLE_S
    server: WitnessServer

    def do_POST(self) -> None:
        self._send(self._answer())

    def do_GET(self) -> None:
        self._send(Answer(HTTPStatus.NOT_FOUND, "a witness takes POST only\n"))

    def _answer(self) -> Answer:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > MAX_BYTES:
            self.close_connection = True  # its body was not read
            return Answer(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a submission needs a length of at most {MAX_BYTES} bytes\n",
            )
        body = self.rfile.read(int(length))
        if self.path != f"/{CALL}":
            return Answer(HTTPStatus.NOT_FOUND, f"a witness has /{CALL} only\n")
        try:
            return self.server.witness.add_checkpoint(body)
        except OSError:
            _logger.exception("what was seen could not be remembered")
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "the witness cannot remember\n")

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name above
        _logger.debug(format, *args)
