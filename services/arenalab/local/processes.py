"""The whole mesh as processes: `python -m arenalab.<service>`, one each."""

import asyncio
import errno
import logging
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final

from arenalab.fallback.provider_config import environment_of_provider
from arenalab.local.configs import DEFAULT_ADDRESSES, Configs, environment_of
from arenalab.local.home import Running
from arenalab.mesh import NotReadyError, ports
from arenalab.mesh.probe import health

_logger = logging.getLogger(__name__)

START_S: Final = 60.0
STOP_S: Final = 10.0


@asynccontextmanager
async def running_processes(
    configs: Configs, gateway_port: int, addresses: Mapping[str, str] = DEFAULT_ADDRESSES
) -> AsyncGenerator[tuple[Running, "asyncio.Task[str]"]]:
    """Runs one process per service for the length of the block, once all are ready.

    Yields:
        Where they listen, and a task that ends with the name of the first service
        that exits by itself.

    Raises:
        NotReadyError: A port is taken; or a service exited, or was not ready within
            a minute. What it said is on standard error.
    """
    for name, address in addresses.items():
        _free_port(name, address.rpartition(":")[0], int(address.rpartition(":")[2]))
    host = configs.settings.host
    gateway_port = _free_port("gateway", host, gateway_port)
    env = {name: environment_of(name, getattr(configs, name)(addresses)) for name in addresses}
    env["gateway"] = environment_of("gateway", configs.gateway(addresses, gateway_port))
    env["fallback"].pop("FALLBACK_PROVIDERS", None)
    env["fallback"] |= _providers_environment(configs)
    children: dict[str, asyncio.subprocess.Process] = {}
    watching: asyncio.Task[str] | None = None
    try:
        for name, variables in env.items():
            children[name] = await _start(name, variables, configs, addresses)
        watching = asyncio.create_task(_first_exit(children))
        await _all_ready(addresses, host, gateway_port, watching)
        url = f"http://{host}:{gateway_port}"
        yield (
            Running(
                pid=os.getpid(), gateway=url, addresses=dict(addresses), version=version("arenalab")
            ),
            watching,
        )
    finally:
        if watching is not None:
            watching.cancel()
        await _stop(children)


async def _start(
    name: str, variables: Mapping[str, str], configs: Configs, addresses: Mapping[str, str]
) -> asyncio.subprocess.Process:
    metrics = {}
    if name in addresses:
        port = int(addresses[name].rpartition(":")[2]) + ports.METRICS_OFFSET
        metrics["ARENALAB_METRICS_ADDRESS"] = f"127.0.0.1:{port}"
    tracing = (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": configs.settings.otlp_endpoint}
        if configs.settings.otlp_endpoint
        else {}
    )
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"arenalab.{name}",
        env={**os.environ, **metrics, **tracing, **variables},
        # A Ctrl-C in the terminal reaches this process, which stops the children in order.
        start_new_session=True,
    )


def _providers_environment(configs: Configs) -> dict[str, str]:
    providers = configs.settings.providers
    variables = {"FALLBACK_PROVIDERS": ",".join(p.name for p in providers)}
    for provider in providers:
        prefix = f"FALLBACK_{provider.name}".upper().replace("-", "_")
        variables |= environment_of_provider(prefix, provider)
    return variables if providers else {}


async def _first_exit(children: Mapping[str, asyncio.subprocess.Process]) -> str:
    waiting = {asyncio.create_task(child.wait()): name for name, child in children.items()}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return waiting[done.pop()]


def _free_port(name: str, host: str, port: int) -> int:
    """Returns `port`, or any free one for 0.

    Raises:
        NotReadyError: It is taken.
    """
    # Whoever has a port may well answer "ready" on it, and would be taken for ours.
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            return int(probe.getsockname()[1])
    except OSError as error:
        why = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise NotReadyError(f"{name}: cannot listen on {host}:{port}: {why}") from error


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _all_ready(
    addresses: Mapping[str, str], host: str, port: int, watching: "asyncio.Task[str]"
) -> None:
    async def serves(address: str) -> bool:
        return await asyncio.to_thread(health, address) == "SERVING"

    checks: dict[str, Callable[[], Awaitable[bool]]] = {
        name: partial(serves, address) for name, address in addresses.items()
    }
    checks["gateway"] = partial(_listens, host, port)
    try:
        async with asyncio.timeout(START_S):
            for name, check in checks.items():
                while not await check():
                    if watching.done():
                        raise NotReadyError(f"{watching.result()} could not start")
                    _logger.debug("waiting for %s", name)
                    await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise NotReadyError(f"{name} was not ready within {START_S:.0f} s") from error


async def _stop(children: dict[str, asyncio.subprocess.Process]) -> None:
    # The edge first, so that what is still being answered keeps its peers.
    for name in reversed(children):
        child = children[name]
        if child.returncode is not None:
            continue
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), STOP_S)
        except TimeoutError:
            _logger.warning("%s did not stop within %.0f s: killed", name, STOP_S)
            child.kill()
            await child.wait()
