"""Clients that hold a connection without using it, and HTTPS."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from arenalab.gateway.server import MAX_HEAD_BYTES
from arenalab.mesh import NotReadyError
from tests.mesh.metered_mesh import Gateway, Mesh, running_peers

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_peers() as found:
        yield found


class Raw:
    """A connection of its own, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, gateway: Gateway) -> "Raw":
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port))

    async def until_cut(self) -> bytes:
        """Returns what comes until the server closes, within ten seconds."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10)
        finally:
            self.writer.close()
            with suppress(OSError):
                await self.writer.wait_closed()

    async def answer(self) -> bytes:
        """Returns one answer of /health; the connection stays open."""
        return await asyncio.wait_for(self.reader.readuntil(b'"ok"}'), 10)


async def _drip(raw: Raw) -> int:
    """Sends a byte at a time, each soon after the one before; returns how many it could."""
    sent = 0
    with suppress(OSError):
        while not raw.reader.at_eof():
            raw.writer.write(b"a")
            await raw.writer.drain()
            await asyncio.sleep(0)
            sent += 1
    return sent


async def test_a_slow_loris_is_cut(mesh: Mesh) -> None:
    gateway = await mesh.gateway(head_timeout_s=0.1)
    loris = await Raw.open(gateway)
    loris.writer.write(HEAD + b"X-Slow: ")
    sent = await asyncio.wait_for(_drip(loris), 10)
    assert sent < MAX_HEAD_BYTES - 1000  # else its size would have ended it
    loris.writer.transport.abort()


async def test_who_sends_nothing_is_cut_too(mesh: Mesh) -> None:
    gateway = await mesh.gateway(head_timeout_s=0.1)
    answer = await (await Raw.open(gateway)).until_cut()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"timeout"' in answer
    assert b"connection: close" in answer


async def test_a_further_request_on_a_connection_has_the_same_time(mesh: Mesh) -> None:
    gateway = await mesh.gateway(head_timeout_s=0.1)
    raw = await Raw.open(gateway)
    raw.writer.write(HEAD + b"\r\n")
    assert (await raw.answer()).startswith(b"HTTP/1.1 200 ")
    raw.writer.write(HEAD[:10])
    assert (await raw.until_cut()).startswith(b"HTTP/1.1 408 ")


async def test_a_slow_answer_is_no_slow_head(mesh: Mesh) -> None:
    gateway = await mesh.gateway(head_timeout_s=0.1)
    asking = asyncio.create_task(gateway.ask(model="waits"))
    await asyncio.wait_for(mesh.ensemble.waiting.wait(), 10)
    # This one is cut meanwhile, and idle connections between requests are not.
    assert (await (await Raw.open(gateway)).until_cut()).startswith(b"HTTP/1.1 408 ")
    mesh.ensemble.resume.set()
    assert (await asking).status_code == 200
    assert (await gateway.models()).status_code == 200


async def test_a_herd_of_them_leaves_room_for_others(mesh: Mesh) -> None:
    gateway = await mesh.gateway(max_in_flight=1)
    herd = [await Raw.open(gateway) for _ in range(50)]
    for raw in herd:
        raw.writer.write(HEAD)
    assert (await gateway.models()).status_code == 200
    for raw in herd:
        raw.writer.transport.abort()


async def test_connections_are_bounded(mesh: Mesh) -> None:
    gateway = await mesh.gateway(max_connections=2)
    held = [await Raw.open(gateway) for _ in range(2)]
    for raw in held:  # both are surely accepted
        raw.writer.write(HEAD + b"\r\n")
        await raw.answer()
    refused = await (await Raw.open(gateway)).until_cut()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in refused
    held[0].writer.transport.abort()
    held[1].writer.write(HEAD + b"Connection: close\r\n\r\n")
    assert (await held[1].until_cut()).startswith(b"HTTP/1.1 200 ")
    assert (await gateway.http.get("/health")).status_code == 200


async def test_too_many_headers_are_refused(mesh: Mesh) -> None:
    gateway = await mesh.gateway()
    raw = await Raw.open(gateway)
    raw.writer.write(HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n")
    assert (await raw.until_cut()).startswith(b"HTTP/1.1 431 ")
    fits = await Raw.open(gateway)
    fits.writer.write(HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(90)) + b"\r\n")
    assert (await fits.answer()).startswith(b"HTTP/1.1 200 ")
    fits.writer.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    chain, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = [openssl, "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a fixed command
    return chain, key


async def test_https_with_a_certificate(mesh: Mesh, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    gateway = await mesh.gateway(tls_cert_path=chain, tls_key_path=key, head_timeout_s=0.2)
    url = f"https://127.0.0.1:{gateway.port}/v1/chat/completions"
    body = {"messages": [{"role": "user", "content": "How?"}], "stream": True}
    trusting = ssl.create_default_context(cafile=str(chain))
    async with httpx.AsyncClient(verify=trusting) as client:
        response = await client.post(url, json=body)
    assert response.status_code == 200
    assert response.text.endswith("data: [DONE]\n\n")
    async with httpx.AsyncClient() as stranger:  # who does not trust it
        with pytest.raises(httpx.ConnectError):
            await stranger.post(url, json=body)
    with pytest.raises(httpx.HTTPError):  # plain HTTP
        await gateway.http.get("/health")


async def test_a_certificate_that_cannot_be_used_stops_the_start(
    mesh: Mesh, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (tmp_path / "absent.pem", broken):
        with pytest.raises(NotReadyError, match="certificate"):
            await mesh.gateway(tls_cert_path=path, tls_key_path=path)
