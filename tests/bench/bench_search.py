"""Search at a size: `make bench-search SIZE=100000`.

Serves a corpus from a process of its own, and judges what it does beside the raw engine,
an RPC that does nothing and the memory's speed, all in the same run.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arenalab.planning import Engine
from arenalab.search.embedder.factory import open_embedder
from arenalab.search.embedder.protocol import Embedder
from tests.bench.search.adding import measure_adding
from tests.bench.search.corpus import Corpus, make_corpus
from tests.bench.search.filtered import measure_filtered
from tests.bench.search.raw import CORES, Raw, memory_gb_per_s
from tests.bench.search.rounds import stage
from tests.bench.search.rpc import measure_batches, measure_recall, measure_single
from tests.bench.search.serving import ENGINES, Served, serving
from tests.bench.search.sheet import Sheet
from tests.bench.search.text import measure_text

if TYPE_CHECKING:
    from arenalab.api.common.v1 import plan_pb2

_MB: Final = 1e6
_WARM_UPS: Final = 8


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="spans to serve")
    size = parser.parse_args().size
    sheet = Sheet(size)
    folder = Path(tempfile.mkdtemp(prefix="arenalab-bench-"))
    embedder = open_embedder()
    try:
        await _measure(sheet, folder, embedder)
    finally:
        embedder.close()
        shutil.rmtree(folder, ignore_errors=True)
        sheet.show()  # what was measured until then, where something failed


async def _measure(sheet: Sheet, root: Path, embedder: Embedder) -> None:
    section = "machine and corpus"
    sheet.put(section, "n", sheet.size)
    sheet.put(section, "cores", CORES, f"load before: {os.getloadavg()[0]:.1f}")
    sheet.put(section, "memory_gb_per_s", memory_gb_per_s(), "one thread that reads 256 MB")
    with stage("corpus"):
        began_s = time.perf_counter()
        corpus = make_corpus(root, sheet.size, embedder)
        sheet.put(section, "real_texts", len(corpus.texts), corpus.source)
        sheet.put(section, "corpus_s", time.perf_counter() - began_s)
    with stage("an empty store"):
        empty_mb = await _empty(sheet, root / "empty")
    with stage("publish and build"):
        await _publish(sheet, root, corpus, empty_mb)
    async with serving(root) as served:
        began_s = time.perf_counter()
        first = (await served.search(corpus.questions[0])).engine
        sheet.put("starting", "restart_s", served.start_s,
                  f"all spans, after a snapshot; the first search by {ENGINES[first]}")  # fmt: skip
        await served.until_settled()  # nothing is to be done, unless a file was not usable
        if (await served.search(corpus.questions[0])).engine != first:
            sheet.put("starting", "restart_indexed_s", time.perf_counter() - began_s,
                      "the index was built again after the start")  # fmt: skip
        with stage("build of the raw engine"):
            raw = await _raw(sheet, served, corpus)
        await _searches(sheet, served, corpus, raw, empty_mb)
        with stage("searches by text"):
            await measure_text(sheet, served, corpus, embedder)
        used_mb = served.memory().anonymous - empty_mb
        sheet.put("memory", "rss_used_mb", used_mb,
                  "of its own at last, with kept filters and vectors of texts")  # fmt: skip
        with stage("adding"):
            await measure_adding(sheet, served, corpus)
        added = (await served.stats()).collection.added_spans
    with stage("restart with a log"):
        async with serving(root) as served:
            sheet.put("starting", "restart_added_s", served.start_s,
                      f"{added:,} spans more than the version has, no snapshot")  # fmt: skip
            sheet.put("starting", "snapshot_s", await served.snapshot())
    sheet.put("machine and corpus", "load_after", os.getloadavg()[0],
              "who else wanted the cores in the last minute")  # fmt: skip


async def _searches(
    sheet: Sheet, served: Served, corpus: Corpus, raw: Raw, empty_mb: float
) -> None:
    with stage("recall"):
        await measure_recall(sheet, served, corpus, raw)
    with stage("searches"):
        await measure_single(sheet, served, corpus, raw)
        await measure_batches(sheet, served, corpus, raw)
    await _memory(sheet, served, corpus, empty_mb)
    with stage("filtered searches"):
        await measure_filtered(sheet, served, corpus, raw)


async def _empty(sheet: Sheet, root: Path) -> float:
    """Returns the memory of a process with nothing to serve, once it has embedded."""
    async with serving(root) as served:
        sheet.put("starting", "start_empty_s", served.start_s, "no spans: imports and the embedder")
        await _embed_once(served)
        return served.memory().anonymous


async def _embed_once(served: Served) -> None:
    from arenalab.api.search.v1 import search_service_pb2 as pb

    # Often enough that each of its threads has had its turn, and its working memory.
    for _ in range(_WARM_UPS):
        await served.stub.Embed(pb.EmbedRequest(texts=["what is loaded on first use"] * 64))


async def _publish(sheet: Sheet, root: Path, corpus: Corpus, empty_mb: float) -> None:
    section = "publishing"
    async with serving(root) as served:
        began_s = time.perf_counter()
        sheet.put(section, "publish_s", await served.publish(corpus.version),
                  "to the first search, which scans")  # fmt: skip
        await served.until_settled()
        sheet.put(section, "indexed_s", time.perf_counter() - began_s, "to the last index")
        await served.snapshot()
        stats = await served.stats()
        sheet.put(section, "build_s", sum(part.build_seconds for part in stats.segments),
                  _engines(stats.segments[0].engine, stats.segments[0].library))  # fmt: skip
        await _embed_once(served)
        memory = served.memory()
        sheet.put(section, "rss_published_mb", memory.anonymous - empty_mb + memory.index,
                  "of the process that published and built")  # fmt: skip
        store = _bytes_below(root / "search")
        sheet.put(section, "bytes_per_span_disk", store / len(corpus),
                  f"store {stats.store_bytes / len(corpus):,.0f}, the rest segments")  # fmt: skip
        version = _bytes_below(root / "datasets")
        sheet.put(section, "bytes_per_span_version", version / len(corpus), "the dataset version")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _engines(engine: "plan_pb2.Engine.ValueType", library: str) -> str:
    return f"{ENGINES[engine]} by {library or 'nothing'}, {CORES} threads"


async def _raw(sheet: Sheet, served: Served, corpus: Corpus) -> Raw:
    reply = await served.search(corpus.questions[0], explain=True)
    engine = Engine(ENGINES[reply.engine])
    raw = Raw.build(corpus.vectors, engine, reply.plan)
    sheet.put("publishing", "raw_build_s", raw.build_s,
              f"the same engine in this process, {CORES} threads")  # fmt: skip
    return raw


async def _memory(sheet: Sheet, served: Served, corpus: Corpus, empty_mb: float) -> None:
    await _embed_once(served)  # as in the process that it is compared with
    memory = served.memory()
    mine_mb = memory.anonymous - empty_mb
    section = "memory"
    vectors_mb = corpus.vectors.nbytes / _MB
    sheet.put(section, "rss_mb", mine_mb + memory.index,
              f"vectors and index: {mine_mb:,.0f} of its own beyond an empty store,"
              f" {memory.index:,.0f} mapped")  # fmt: skip
    sheet.put(section, "rss_empty_mb", empty_mb, "of its own, of a process with an empty store")
    sheet.put(section, "rss_vectors_mb", memory.vectors,
              f"of {vectors_mb:,.0f} MB in full precision, mapped: may be dropped")  # fmt: skip
    sheet.put(section, "rss_libraries_mb", memory.rest, "mapped from other files")
    sheet.put(section, "bytes_per_span_memory", (mine_mb + memory.index) * _MB / len(corpus))


if __name__ == "__main__":
    asyncio.run(main())
