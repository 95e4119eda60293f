"""The gauges by which a leak shows: tasks of the event loop, channels to peers."""

import asyncio

from arenalab.mesh import Metrics, Telemetry, connect


def _sample(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value(name)
    assert value is not None
    return value


async def test_channels_count_while_they_are_open() -> None:
    telemetry = Telemetry("test")
    metrics = telemetry.metrics
    assert _sample(metrics, "arenalab_grpc_channels") == 0
    async with connect("127.0.0.1:1", telemetry), connect("127.0.0.1:2", telemetry):
        assert _sample(metrics, "arenalab_grpc_channels") == 2
    assert _sample(metrics, "arenalab_grpc_channels") == 0


async def test_tasks_count_until_they_end_also_seen_from_another_thread() -> None:
    metrics = Metrics()
    metrics.watch(asyncio.get_running_loop())
    before = _sample(metrics, "arenalab_asyncio_tasks")
    task = asyncio.create_task(asyncio.Event().wait())
    seen = await asyncio.to_thread(_sample, metrics, "arenalab_asyncio_tasks")
    assert seen == before + 1
    task.cancel()
    await asyncio.wait({task})
    assert _sample(metrics, "arenalab_asyncio_tasks") == before
