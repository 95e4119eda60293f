"""What the processes of a mesh hold: sampled, and judged at the end."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import numpy as np
import psutil
from scipy import stats

from arenalab.local.home import Running
from arenalab.mesh import ports

# A process grows when even the lower end of the interval is above this share an hour ...
GROWTH_PER_H: Final = 0.02
# ... and above what it must keep of every request, in bytes: the ledger knows each entry by
# its id, and keeps the hashes of its tree.
KEPT_BYTES: Final = {"ledger": 256}
_GAUGE: Final = re.compile(r"^(arenalab_asyncio_tasks|arenalab_grpc_channels) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What one process holds at one moment."""

    at_s: float
    rss_mb: float
    fds: int
    threads: int
    tasks: int
    channels: int


class Watch:
    """Looks at every process of a mesh."""

    def __init__(self, running: Running, seen: Mapping[str, psutil.Process]) -> None:
        self._processes = seen
        self._urls = {"gateway": f"{running.gateway}/metrics"}
        for name, address in running.addresses.items():
            host, _, port = address.rpartition(":")
            self._urls[name] = f"http://{host}:{int(port) + ports.METRICS_OFFSET}/metrics"
        self.samples: dict[str, list[Held]] = {name: [] for name in seen}

    async def look(self) -> dict[str, Held]:
        """Returns what each process holds now."""
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            pages = await asyncio.gather(*(client.get(self._urls[n]) for n in self._processes))
        return {
            name: _held(process, page.text)
            for (name, process), page in zip(self._processes.items(), pages, strict=True)
        }

    async def sample(self, every_s: float, stop: asyncio.Event) -> None:
        """Keeps what each process holds, again and again, until `stop` is set."""
        while not stop.is_set():
            for name, held in (await self.look()).items():
                self.samples[name].append(held)
            try:
                await asyncio.wait_for(stop.wait(), every_s)
            except TimeoutError:
                continue

    async def settled(self, baseline: Mapping[str, Held], within_s: float) -> dict[str, Held]:
        """Returns what each process holds once it is no more than before, or after a while."""
        ends_s = time.monotonic() + within_s
        while True:
            held = await self.look()
            if time.monotonic() > ends_s or not leaks(baseline, held):
                return held
            await asyncio.sleep(1)


def _held(process: psutil.Process, page: str) -> Held:
    gauges = {name: int(float(value)) for name, value in _GAUGE.findall(page)}
    with process.oneshot():
        return Held(
            at_s=time.monotonic(),
            rss_mb=process.memory_info().rss / 2**20,
            fds=process.num_fds(),
            threads=process.num_threads(),
            tasks=gauges["arenalab_asyncio_tasks"],
            channels=gauges["arenalab_grpc_channels"],
        )


def leaks(baseline: Mapping[str, Held], end: Mapping[str, Held]) -> list[str]:
    """Returns what is held at the end, and was not before."""
    return [
        f"{name}: {what} {before} -> {after}"
        for name, held in end.items()
        for what in ("fds", "tasks", "channels")
        if (after := getattr(held, what)) > (before := getattr(baseline[name], what))
    ]


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How memory changes: Theil and Sen's slope with its 95 % interval, in MiB an hour."""

    mb_per_h: float
    low: float
    high: float
    rss_mb: float  # the median

    @classmethod
    def of(cls, samples: Sequence[Held]) -> "Slope":
        hours = np.array([held.at_s for held in samples]) / 3600
        sizes = np.array([held.rss_mb for held in samples])
        slope, _, low, high = stats.theilslopes(sizes, hours)
        return cls(
            mb_per_h=float(slope), low=float(low), high=float(high), rss_mb=float(np.median(sizes))
        )

    def grows(self, allowed_mb_per_h: float) -> bool:
        """Returns whether memory grows by more than a share of itself and what is allowed."""
        return self.low > GROWTH_PER_H * self.rss_mb + allowed_mb_per_h


def processes_of() -> dict[str, psutil.Process]:
    """Returns the services that this process started, by name."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        name = next((word for word in child.cmdline() if word.startswith("arenalab.")), None)
        if name:
            found[name.removeprefix("arenalab.")] = child
    return found


def as_json(
    baseline: Mapping[str, Held], end: Mapping[str, Held], watch: Watch, requests_per_h: float
) -> dict[str, Any]:
    """Returns the figures of every process."""
    figures = {}
    for name, held in end.items():
        slope = Slope.of(watch.samples[name])
        allowed = KEPT_BYTES.get(name, 0) * requests_per_h / 2**20
        figures[name] = {
            "rss_mb": round(slope.rss_mb, 1),
            "slope_mb_per_h": round(slope.mb_per_h, 2),
            "slope_low": round(slope.low, 2),
            "slope_high": round(slope.high, 2),
            "bytes_per_request": round(slope.mb_per_h * 2**20 / requests_per_h),
            "grows": slope.grows(allowed),
            **{
                what: [getattr(baseline[name], what), getattr(held, what)]
                for what in ("fds", "threads", "tasks", "channels")
            },
        }
    return figures
