"""The one way a service of the mesh is served.

`running_server` builds a server with health, reflection, deadlines, tracing and
error translation; `run` is the whole of a service's process: settings, logs,
telemetry, metrics endpoint, drain on SIGTERM or SIGINT.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from arenalab.mesh.config import ConfigError, read_config
from arenalab.mesh.errors import MeshError, NotReadyError
from arenalab.mesh.handlers import GuardedServer
from arenalab.mesh.logs import configure_logs
from arenalab.mesh.metrics import serve_metrics
from arenalab.mesh.telemetry import Telemetry

_logger = logging.getLogger(__name__)
_C = TypeVar("_C")

DRAIN_S: Final = 5.0
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
# Calls in progress per server; beyond it gRPC answers RESOURCE_EXHAUSTED at once.
MAX_CONCURRENT_CALLS: Final = 1024
# Objects made and not freed between two rounds of the garbage collector; Python's own is 700.
_YOUNG_OBJECTS: Final = 20_000


@asynccontextmanager
async def running_server(
    service_name: str,
    register: Callable[[grpc.aio.Server], None],
    address: str,
    telemetry: Telemetry,
) -> AsyncGenerator[int]:
    """Runs a gRPC server for the length of the `async with` block.

    Args:
        service_name: Full protobuf name, e.g. "arenalab.api.search.v1.SearchService".
        register: Adds the servicer to the server.
        address: "host:port"; port 0 picks a free one.
        telemetry: Traces and counts the calls.

    Yields:
        The port the server listens on.

    Raises:
        NotReadyError: The address cannot be bound, e.g. it is taken.
    """
    server = grpc.aio.server(
        options=[
            # Linux gRPC lets two servers share a port by default, and splits calls
            # between them at random; a port that is taken must be an error.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ],
        maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
    )
    guarded = cast("grpc.aio.Server", GuardedServer(server, telemetry))
    register(guarded)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, guarded)
    reflection.enable_server_reflection(
        (service_name, health.SERVICE_NAME, reflection.SERVICE_NAME), guarded
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise NotReadyError(
            f"{telemetry.service}: cannot listen on {address}: the port is taken", address=address
        ) from error
    await server.start()
    await health_servicer.set(service_name, health_pb2.HealthCheckResponse.SERVING)
    await health_servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        # NOT_SERVING first, so a load balancer stops sending before we stop taking.
        await health_servicer.enter_graceful_shutdown()
        await server.stop(DRAIN_S)


@asynccontextmanager
async def stop_signal() -> AsyncGenerator[asyncio.Event]:
    """Yields an event that SIGTERM or SIGINT sets."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    try:
        yield stop
    finally:
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(signum)


def run(
    service: str,
    config_class: type[_C],
    running: Callable[[_C, Telemetry], AbstractAsyncContextManager[int]],
    env: Mapping[str, str] = os.environ,
) -> None:
    """Serves one service until the process is told to stop; exits 1 if it cannot start.

    The service's settings are `<SERVICE>_*`. Of the process: `ARENALAB_LOG_LEVEL`,
    `OTEL_EXPORTER_OTLP_ENDPOINT`, `ARENALAB_METRICS_ADDRESS` ("host:port", none by
    default).
    """
    configure_logs(service, sys.stderr, env.get("ARENALAB_LOG_LEVEL", "INFO"))
    telemetry = Telemetry(service, otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    try:
        config = read_config(config_class, service, env)
        if metrics_address := env.get("ARENALAB_METRICS_ADDRESS"):
            host, _, port = metrics_address.rpartition(":")
            serve_metrics(telemetry.metrics, host, int(port))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            telemetry.metrics.watch(runner.get_loop())
            runner.run(_serve(service, running(config, telemetry)))
    except (ConfigError, MeshError, OSError) as error:
        _logger.error("%s cannot run: %s", service, error)  # noqa: TRY400 - the cause is the message
        raise SystemExit(1) from error
    finally:
        telemetry.shutdown()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Returns uvloop's where it is installed, else asyncio's, under which calls take longer."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _spare_garbage_collector() -> None:
    """Keeps what the start made out of the garbage collector's rounds, and makes them fewer.

    Libraries leave some hundred thousand objects that live as long as the process, and a
    full round looks at each. Messages hold no cycles: what an answer leaves behind is freed
    by its counts, and rounds find next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


async def _serve(service: str, running: AbstractAsyncContextManager[int]) -> None:
    async with stop_signal() as stop, running as port:
        _spare_garbage_collector()
        _logger.info("%s listening on port %d", service, port)
        await stop.wait()
        _logger.info("%s draining", service)
