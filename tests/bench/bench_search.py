"""The Search RPC beside the embedder and the index it is made of, in one run.

Serves CLINC150 (15,000 spans), or the built-in dataset where that is not found, from a
process of its own and asks questions that it does not hold.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc
from arenalab.atomic import Span, parse_line
from arenalab.dataset import DatasetStore
from arenalab.mesh import Telemetry, connect
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.index import ExactIndex, FloatArray, VectorIndex
from arenalab.search.index.hnsw import HnswIndex
from arenalab.testing.datasets import write_version
from arenalab.testing.spans import make_span

DATA: Final = Path(os.environ.get("ARENALAB_DATA", "../shared/data"))
LIMIT: Final = 50
WARM: Final = 50
CLIENTS: Final = 16

Ask = Callable[[str], Awaitable[object]]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=2000, help="per measurement")
    searches = parser.parse_args().searches
    with tempfile.TemporaryDirectory(prefix="arenalab-bench-") as folder:
        figures = await _measure(Path(folder), searches)
    _show(figures)
    print(json.dumps(figures))


async def _measure(root: Path, searches: int) -> dict[str, float]:
    spans, questions = _dataset()
    embedder = open_embedder()
    figures: dict[str, float] = {"spans": len(spans), "cores": os.cpu_count() or 1}
    began_s = time.perf_counter()
    vectors = embedder.embed_many([span.this for span in spans])
    figures["embed_many_per_s"] = len(spans) / (time.perf_counter() - began_s)
    version = write_version(
        DatasetStore(root / "datasets"),
        spans,
        vectors,
        embedder_id=embedder.id,
        embedder_digest=embedder.digest,
    )
    async with _serving(root) as search:
        began_s = time.perf_counter()
        publish = pb.PublishRequest(dataset="faq", dataset_version=version)
        await search.Publish(publish, timeout=120)
        figures["publish_rpc_s"] = time.perf_counter() - began_s
        figures |= await _rpc(search, questions, searches)
    began_s = time.perf_counter()
    async with _serving(root):
        figures["start_s"] = time.perf_counter() - began_s
    figures |= _raw(embedder, vectors, questions, searches)
    parts_ms = figures["embed_p50_ms"] + figures["index_p50_ms"]
    figures["rpc_over_parts"] = figures["search_p50_ms_c1"] / parts_ms
    embedder.close()
    return {name: round(value, 4) for name, value in figures.items()}


def _dataset() -> tuple[list[Span], list[str]]:
    clinc = DATA / "clinc150" / "data_full.json"
    if clinc.exists():
        splits = json.loads(clinc.read_text())
        spans = [make_span(text, intent) for text, intent in splits["train"]]
        return spans, [text for text, _ in splits["test"]]
    print("CLINC150 not found (github.com/clinc/oos-eval): the built-in dataset instead")
    builtin = Path(str(resources.files("arenalab.curator.builtin") / "arenalab.ndjson"))
    spans = [parse_line(line) for line in builtin.read_bytes().splitlines()]
    return spans, [f"{span.this} please" for span in spans]


@asynccontextmanager
async def _serving(root: Path) -> "AsyncIterator[pb_grpc.SearchServiceAsyncStub]":
    environment = {
        **os.environ,
        "SEARCH_ADDRESS": "127.0.0.1:0",
        "SEARCH_STORE_PATH": str(root / "spans.sqlite"),
        "SEARCH_DATASETS_DIR": str(root / "datasets"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arenalab.search", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async for line in process.stderr:
            message = json.loads(line)["message"]
            if "listening on port" in message:
                break
        address = f"127.0.0.1:{message.rpartition(' ')[2]}"
        async with connect(address, Telemetry("bench")) as channel:
            yield pb_grpc.SearchServiceStub(channel)
    finally:
        process.terminate()
        await process.communicate()


async def _rpc(
    search: "pb_grpc.SearchServiceAsyncStub", questions: Sequence[str], searches: int
) -> dict[str, float]:
    inside: list[tuple[int, int]] = []

    async def ask(text: str) -> None:
        reply = await search.SearchText(pb.SearchTextRequest(text=text, limit=LIMIT))
        inside.append((reply.embed_us, reply.search_us))

    async def get_again(text: str) -> None:
        await search.SearchText(
            pb.SearchTextRequest(text="one and the same text", limit=len(text[:1]))
        )

    fresh = _never_twice(questions)
    await _timed(ask, islice(fresh, WARM), 1)
    inside.clear()
    one, _ = await _timed(ask, islice(fresh, searches), 1)
    embed_us, search_us = np.median(np.array(inside), axis=0)
    many, many_s = await _timed(ask, islice(fresh, searches), CLIENTS)
    kept, _ = await _timed(get_again, islice(fresh, searches), 1)
    return {
        "search_p50_ms_c1": _ms(one, 50),
        "search_p99_ms_c1": _ms(one, 99),
        "embed_inside_p50_ms": embed_us / 1e3,
        "index_inside_p50_ms": search_us / 1e3,
        "search_p50_ms_c16": _ms(many, 50),
        "search_p99_ms_c16": _ms(many, 99),
        "searches_per_s_c16": searches / many_s,
        "kept_text_p50_ms_c1": _ms(kept, 50),
    }


async def _timed(ask: Ask, texts: "islice[str]", clients: int) -> tuple[list[float], float]:
    took_s: list[float] = []

    async def client() -> None:
        for text in texts:  # shared: each text is asked by one client
            began_s = time.perf_counter()
            await ask(text)
            took_s.append(time.perf_counter() - began_s)

    began_s = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return took_s, time.perf_counter() - began_s


def _never_twice(questions: Sequence[str]) -> "islice[str]":
    """Returns endless texts, all different: a text that is asked again costs no embedding."""
    numbered = (
        text if number < len(questions) else f"{text} {number // len(questions)}"
        for number, text in enumerate(cycle(questions))
    )
    return islice(numbered, None)


def _raw(
    embedder: Embedder, vectors: FloatArray, questions: Sequence[str], searches: int
) -> dict[str, float]:
    texts = list(islice(_never_twice(questions), searches))
    queries = embedder.embed_many(texts)
    graph = HnswIndex.build(vectors)
    exact = ExactIndex(vectors)
    found = [
        len(
            set(exact.search(query, 10).rows.tolist())
            & set(graph.search(query, 10, candidates=20).rows.tolist())
        )
        for query in queries[:500]
    ]

    def searching(index: VectorIndex) -> Callable[[int], object]:
        return lambda number: index.search(queries[number], LIMIT)

    return {
        "embed_p50_ms": _called(lambda number: embedder.embed(texts[number]), searches),
        "index_p50_ms": _called(searching(exact), searches),
        "hnsw_p50_ms": _called(searching(graph), searches),
        "hnsw_recall_at_10": sum(found) / (10 * len(found)),
    }


def _called(call: Callable[[int], object], times: int) -> float:
    took_s = []
    for number in range(times):
        began_s = time.perf_counter()
        call(number)
        took_s.append(time.perf_counter() - began_s)
    return _ms(took_s, 50)


def _ms(took_s: Sequence[float], percentile: int) -> float:
    return float(np.percentile(took_s, percentile)) * 1e3


def _show(figures: dict[str, float]) -> None:
    table = Table(title="Search")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3f}")
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
