"""The whole mesh as processes: `python -m arenalab.<service>`, one each."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

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
        NotReadyError: A service exited, or was not ready within a minute. What it
            said is on standard error.
    """
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
        await _all_ready(addresses, watching)
        url = f"http://{configs.settings.host}:{gateway_port}"
        yield Running(pid=os.getpid(), gateway=url, addresses=dict(addresses)), watching
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
        variables[f"{prefix}_BASE_URL"] = provider.base_url
        variables[f"{prefix}_MODEL"] = provider.default_model
        if provider.api_key:
            variables[f"{prefix}_API_KEY"] = provider.api_key
    return variables if providers else {}


async def _first_exit(children: Mapping[str, asyncio.subprocess.Process]) -> str:
    waiting = {asyncio.create_task(child.wait()): name for name, child in children.items()}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return waiting[done.pop()]


async def _all_ready(addresses: Mapping[str, str], watching: "asyncio.Task[str]") -> None:
    try:
        async with asyncio.timeout(START_S):
            for name, address in addresses.items():
                while await asyncio.to_thread(health, address) != "SERVING":
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
