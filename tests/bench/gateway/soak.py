"""Mixed load for half an hour, and what it leaves behind: `make soak-gateway MINUTES=30`.

The whole mesh runs as processes in front of a provider with fixed answers. Clients ask
memory and the provider, whole and streamed, embed, leave in the middle, send what is no
request and show keys that are none. Every process is watched: memory, file descriptors,
threads, tasks of its event loop, channels. After a warm-up and a pause, what it holds is the
baseline; after the load and another pause nothing but memory may be above it, and memory may
not grow. Stores that are bounded have small bounds here, and questions are some thousands,
so that what may be kept is kept, and no longer grows, once the warm-up is over.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from arenalab.ensemble.config import EnsembleConfig
from arenalab.fallback.config import ProviderConfig
from arenalab.local.home import Home
from arenalab.predictor.config import PredictorConfig
from arenalab.search.config import SearchConfig
from tests.bench.gateway.soak_load import Load
from tests.bench.gateway.soak_watch import Watch, as_json, leaks, processes_of
from tests.stub_provider import MODEL, running_stub
from tests.whole_mesh import ClosedConfigs, builtin, whole_mesh

_SETTLE_S: Final = 100.0  # idle connections close after 75 s
_PAUSE_S: Final = 10.0
_EVERY_S: Final = 5.0


class _Bounded(ClosedConfigs):
    """Configs whose bounded stores are full within minutes."""

    def ensemble(self, at: Mapping[str, str]) -> EnsembleConfig:
        return replace(super().ensemble(at), max_predictions=2000, max_audits=200)

    def predictor(self, at: Mapping[str, str]) -> PredictorConfig:
        return replace(super().predictor(at), cache_memory_mb=1)

    def search(self, at: Mapping[str, str]) -> SearchConfig:
        return replace(super().search(at), cache_memory_mb=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of watched load")
    parser.add_argument("--warm", type=float, help="minutes before it; by default a third")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--json", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="arenalab-soak-") as folder:
        figures = asyncio.run(_soak(Path(folder), options))
    _show(figures)
    line = json.dumps(figures)
    if options.json:
        options.json.write_text(line + "\n")
    print(line)
    raise SystemExit(0 if figures["passed"] else 1)


async def _soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    corpus = builtin()
    home, key = Home.create(folder / "home")
    warm_s = 60 * (options.minutes / 3 if options.warm is None else options.warm)
    with running_stub() as stub:
        provider = ProviderConfig(name="stub", base_url=stub, default_model=MODEL)
        async with whole_mesh(home, corpus, (provider,), _Bounded) as running:
            watch = Watch(running, processes_of())
            load = Load(running.gateway, key or "", corpus)
            _say(f"warming up for {warm_s:.0f} s")
            await _load(load, options.clients, warm_s)
            warm = load.done.total()
            await asyncio.sleep(_PAUSE_S)
            baseline = await watch.look()
            _say(f"watching {options.minutes:g} minutes")
            stop = asyncio.Event()
            watching = asyncio.create_task(watch.sample(_EVERY_S, stop))
            await _load(load, options.clients, 60 * options.minutes)
            stop.set()
            await watching
            end = await watch.settled(baseline, _SETTLE_S)
    found = leaks(baseline, end)
    requests = load.done.total() - warm
    processes = as_json(baseline, end, watch, requests * 60 / options.minutes)
    return {
        "minutes": options.minutes,
        "requests": requests,
        "by_kind": dict(sorted(load.done.items())),
        "troubles": load.troubles,
        "leaks": found,
        "growing": [name for name, each in processes.items() if each["grows"]],
        "processes": processes,
        "passed": not (found or load.troubles or any(p["grows"] for p in processes.values())),
    }


async def _load(load: Load, clients: int, seconds: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await load.run(clients, stop)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(figures: dict[str, Any]) -> None:
    table = Table(title=f"{figures['requests']:,} requests in {figures['minutes']:g} minutes")
    for name in (
        "process",
        "MiB",
        "MiB/h",
        "95 %",
        "B/request",
        "fds",
        "threads",
        "tasks",
        "channels",
    ):
        table.add_column(name, justify="left" if name == "process" else "right", no_wrap=True)
    for name, each in figures["processes"].items():
        table.add_row(
            name,
            f"{each['rss_mb']:,.0f}",
            f"{each['slope_mb_per_h']:+.1f}",
            f"{each['slope_low']:+.1f} … {each['slope_high']:+.1f}",
            f"{each['bytes_per_request']:,}",
            *("{} → {}".format(*each[what]) for what in ("fds", "threads", "tasks", "channels")),
        )
    console = Console(width=110)
    console.print(table)
    for what in ("troubles", "leaks", "growing"):
        for one in figures[what]:
            console.print(f"{what}: {one}", markup=False)


if __name__ == "__main__":
    main()
