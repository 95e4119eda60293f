"""One connection to a NATS cluster, on an event loop and a thread of its own.

The log calls from threads and waits; no wait is without an end. A connection that
breaks is made again in the background for as long as the process runs: only waits are
bounded, not the number of tries, or a long outage would need a restart.
"""

import asyncio
import logging
import re
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.js import JetStreamContext

from arenalab.ledger.jetstream.credentials import Credentials
from arenalab.ledger.jetstream.settings import JetStreamSettings
from arenalab.mesh import ConfigError, NotReadyError

_T = TypeVar("_T")
_logger = logging.getLogger(__name__)
_RECONNECT_WAIT_S: Final = 0.25  # between two tries of one server
_CONNECT_S: Final = 2.0  # of one try
_CLOSE_S: Final = 5.0
_SLACK_S: Final = 5.0  # a loop that is late ends its own waits late
_PASSWORD: Final = re.compile(r"//[^/@\s]*@")


class Connection:
    """Runs coroutines on the loop and waits for them."""

    def __init__(self, settings: JetStreamSettings) -> None:
        """Connects.

        Raises:
            NotReadyError: No server could be reached in time, or none let this one in.
            ConfigError: The credentials or certificates cannot be read.
        """
        options = _options(settings) | {
            "error_cb": _on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": _on_reconnected,
        }
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="ledger-nats", daemon=True
        )
        self._thread.start()
        self._client = Client()
        try:
            self.call(self._client.connect(**options), settings.timeout_s)
        except BaseException as error:
            reason = self._client.last_error or error
            self.close()
            if isinstance(error, NotReadyError):
                raise NotReadyError(
                    f"no NATS server could be reached in {settings.timeout_s} s: {_said(reason)}",
                    service="nats",
                ) from None
            raise

    @property
    def max_payload(self) -> int:
        """The most bytes that the servers take in one message."""
        return int(self._client.max_payload)

    def jetstream(self, timeout_s: float) -> JetStreamContext:
        """Returns the API of JetStream, with a timeout for each request."""
        return self._client.jetstream(timeout=timeout_s)

    def call(self, coroutine: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        """Runs a coroutine and returns what it returns.

        Raises:
            NotReadyError: It took longer.
        """
        bounded = asyncio.wait_for(coroutine, timeout_s)
        future = asyncio.run_coroutine_threadsafe(bounded, self._loop)
        try:
            return future.result(timeout_s + _SLACK_S)
        except TimeoutError:
            future.cancel()
            raise NotReadyError(f"NATS did not answer in {timeout_s} s", service="nats") from None

    def close(self) -> None:
        """Closes the connection and ends the thread."""
        self._is_closing = True
        try:
            self.call(self._client.close(), _CLOSE_S)
        except NotReadyError:
            _logger.warning("the connection to NATS did not close in %s s", _CLOSE_S)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _on_disconnected(self) -> None:
        if not self._is_closing:
            _logger.warning("the connection to NATS is lost")

    async def _end(self) -> None:
        """Ends what the client left running."""
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _options(settings: JetStreamSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": "arenalab-ledger",
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": _RECONNECT_WAIT_S,
        "connect_timeout": _CONNECT_S,
    }
    if settings.credentials is not None:
        user = Credentials(settings.credentials)
        options["user_jwt_cb"] = user.jwt
        options["signature_cb"] = user.sign
    if settings.is_encrypted:
        options["tls"] = _tls(settings)
    return options


def _tls(settings: JetStreamSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.certificate_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates for NATS cannot be used: {error}") from error
    return context


async def _on_error(error: Exception) -> None:
    # Each failed try of an outage is one; that it began and ended is said below.
    _logger.debug("NATS: %s", _said(error))


async def _on_reconnected() -> None:
    _logger.info("connected to NATS again")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {_PASSWORD.sub('//…@', str(error))}"
