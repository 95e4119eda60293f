"""The load client, a process of its own: `python -m tests.bench.gateway.load`.

Reads one job a line, as JSON, and writes one outcome a line. Each client is one connection
that is kept; a request is written as whole bytes and its response parsed in C, so that the
client takes little of the processors that it shares with what it measures.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import httptools
import numpy as np

from arenalab.mesh.server import new_event_loop

_OK: Final = 200
_RECEIPT: Final = b'"leaf_index"'
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to ask, and by how many clients for how long."""

    url: str
    bodies: Sequence[str]
    clients: int
    seconds: float  # asking ends after it, or when every body was sent once
    repeat: bool = False  # the bodies again and again
    needs_receipt: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a job. Times are in milliseconds."""

    took_ms: list[float] = field(default_factory=list)  # of each answer
    first_ms: list[float] = field(default_factory=list)  # to the first byte of its body
    routes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    seconds: float = 0.0
    processor_s: float = 0.0  # of the processes that answered; the caller fills it in

    @property
    def per_s(self) -> float:
        """Answers a second, of all clients."""
        return len(self.took_ms) / self.seconds if self.seconds else 0.0

    def p(self, q: float) -> float:
        """Returns a percentile of the answers' times."""
        return float(np.percentile(self.took_ms, q)) if self.took_ms else float("nan")


class Client:
    """Hands jobs to the process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, job: Job) -> Outcome:
        """Returns what became of a job."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))


@contextmanager
def running_client() -> Iterator[Client]:
    """Runs the load client for the length of the block."""
    command = [sys.executable, "-m", "tests.bench.gateway.load"]
    with subprocess.Popen(  # noqa: S603 - this program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Client(process)
        assert process.stdin is not None
        process.stdin.close()


class _Connection(asyncio.Protocol):
    """A connection that asks one request at a time."""

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._answered: asyncio.Future[None] | None = None
        self.is_open = False
        self.status = 0
        self.route = ""
        self.first_s = 0.0
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("closed"))

    async def ask(self, request: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.body, self.route, self.first_s = [], "", 0.0
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._answered

    def data_received(self, data: bytes) -> None:
        if self._parser is not None:
            self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-arenalab-route":
            self.route = value.decode()

    def on_body(self, body: bytes) -> None:
        self.first_s = self.first_s or time.perf_counter()
        self.body.append(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        assert self._answered is not None
        self.status = self._parser.get_status_code()
        if not self._answered.done():
            self._answered.set_result(None)


async def _run(job: Job) -> Outcome:
    outcome = Outcome()
    bodies = _endless(job.bodies) if job.repeat else iter(job.bodies)
    began_s = time.perf_counter()
    ends_s = began_s + job.seconds
    await asyncio.gather(*(_client(job, bodies, ends_s, outcome) for _ in range(job.clients)))
    outcome.seconds = time.perf_counter() - began_s
    return outcome


def _endless(bodies: Sequence[str]) -> Iterator[str]:
    while True:
        yield from bodies


async def _client(job: Job, bodies: Iterator[str], ends_s: float, outcome: Outcome) -> None:
    connection = await _connected(job.url)
    for body in bodies:
        if not connection.is_open:
            connection = await _connected(job.url)
        request = _request(job, body.encode())
        began_s = time.perf_counter()
        outcome.asked += 1
        try:
            await asyncio.wait_for(connection.ask(request), _TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            trouble = type(error).__name__
            connection.transport.close()
        else:
            ended_s = time.perf_counter()
            trouble = _trouble(connection, job)
            if not trouble:
                outcome.took_ms.append((ended_s - began_s) * 1e3)
                outcome.first_ms.append((connection.first_s - began_s) * 1e3)
                outcome.routes[connection.route] = outcome.routes.get(connection.route, 0) + 1
        if trouble:
            outcome.errors[trouble] = outcome.errors.get(trouble, 0) + 1
        if time.perf_counter() >= ends_s:
            break
    connection.transport.close()


def _trouble(connection: _Connection, job: Job) -> str:
    """Returns what is wrong with an answer; "" when nothing is."""
    body = b"".join(connection.body)
    if connection.status != _OK:
        return f"{connection.status} {body[:120].decode(errors='replace')}"
    if b'"error"' in body:
        return f"error in the stream: {body[-200:].decode(errors='replace')}"
    return "no receipt" if job.needs_receipt and _RECEIPT not in body else ""


async def _connected(url: str) -> _Connection:
    place = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        _Connection, place.hostname or "", place.port or 80
    )
    return connection


def _request(job: Job, body: bytes) -> bytes:
    place = urlsplit(job.url)
    headers = "".join(f"{name}: {value}\r\n" for name, value in job.headers.items())
    head = (
        f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
        f"{headers}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for line in sys.stdin:
            job = Job(**json.loads(line))
            gc.collect()
            print(json.dumps(asdict(runner.run(_run(job)))), flush=True)


if __name__ == "__main__":
    main()
