"""The whole mesh for a test session, as `arenalab up` runs it, on free ports."""

import asyncio
import fcntl
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import pytest

from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.local.cli.data import run_ingest, run_publish
from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings
from arenalab.local.home import Home, Running
from arenalab.local.keys import log_public_key
from arenalab.local.onehost import Ports, running_mesh


@dataclass(frozen=True)
class Mesh:
    """A running mesh that serves the built-in dataset."""

    home: Home
    running: Running

    @property
    def url(self) -> str:
        return self.running.gateway

    @property
    def public_key(self) -> str:
        return log_public_key(self.home)


class _MeshThread:
    """Runs a mesh on an event loop of its own, so that tests may block."""

    def __init__(self, home: Home, settings: Settings, configs: type[Configs] = Configs) -> None:
        self._configs = configs(home, settings)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready: Future[Running] = Future()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                running = await stack.enter_async_context(
                    running_mesh(self._configs, Ports(FREE_ADDRESSES, gateway=0))
                )
            except BaseException as error:
                self._ready.set_exception(error)
                raise
            self._ready.set_result(running)
            await self._stop.wait()

    def __enter__(self) -> Running:
        self._thread.start()
        return self._ready.result(60)

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()


def _publish_builtin(curator: str) -> curator_pb.PublishResult:
    """Ingests and publishes the built-in dataset."""

    async def publish() -> curator_pb.PublishResult:
        builtin = resources.files("arenalab.curator.builtin") / "arenalab.ndjson"
        with resources.as_file(builtin) as file:
            header = curator_pb.IngestHeader(
                dataset="help",
                format=curator_pb.INGEST_FORMAT_SPANS,
                file_name=file.name,
                size_bytes=file.stat().st_size,
            )
            await run_ingest(curator, header, file, quiet=True)
        return await run_publish(curator, curator_pb.PublishRequest(dataset="help"), quiet=True)

    return asyncio.run(publish())


def _published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a home with the built-in dataset, which the processes of a test run share."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # each worker has a folder of its own below it
    path, done = shared / "published", shared / "published.done"
    with (shared / "published.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            home, _ = Home.create(path)
            with _MeshThread(home, replace(Settings.of(home, {}), otlp_endpoint=None)) as running:
                _publish_builtin(running.addresses["curator"])
            done.touch()
    return path


@pytest.fixture(scope="session")
def published_home(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Home]:
    """Makes homes that hold the built-in dataset: published once, then copied."""
    path = _published_once(tmp_path_factory)

    def make(name: str) -> Home:
        copied = tmp_path_factory.mktemp(name) / "home"
        shutil.copytree(path, copied)
        return Home.open(copied)

    return make


@pytest.fixture(scope="session")
def mesh(published_home: Callable[[str], Home]) -> Iterator[Mesh]:
    """The mesh with the built-in dataset, without a fallback provider."""
    home = published_home("mesh")
    with _MeshThread(home, replace(Settings.of(home, {}), otlp_endpoint=None)) as running:
        yield Mesh(home, running)


@pytest.fixture(scope="session")
def start_mesh() -> Callable[..., AbstractContextManager[Running]]:
    """Runs a mesh of a test's own for the length of a `with` block."""
    return _MeshThread


@pytest.fixture(scope="session")
def publish_builtin() -> Callable[[str], curator_pb.PublishResult]:
    """Ingests and publishes the built-in dataset at a curator's address."""
    return _publish_builtin


@pytest.fixture(scope="session")
def find_ports() -> Callable[[int], list[int]]:
    """Finds ports that were free a moment ago."""

    def find(count: int) -> list[int]:
        probes = [socket.socket() for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [int(probe.getsockname()[1]) for probe in probes]
        for probe in probes:
            probe.close()
        return ports

    return find
