"""Builds Search from its settings: the one place that knows every concrete class."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Final

from arenalab.caching import Cache, LayerStatistics, MemoryLayer, open_cache
from arenalab.dataset import DatasetStore
from arenalab.mesh import ConfigError, Telemetry, running_server
from arenalab.planning import Engine
from arenalab.search.collection.datasets import Datasets, read_public_key
from arenalab.search.collection.indexing import Indexing
from arenalab.search.collection.library import Library
from arenalab.search.collection.loading import Loader
from arenalab.search.collection.segment import Segment
from arenalab.search.collection.segment_files import SegmentFiles
from arenalab.search.collection.snapshot import Snapshot
from arenalab.search.collection.upkeep import Upkeep
from arenalab.search.config import REMOTE_INDEXES, SearchConfig
from arenalab.search.costs.calibration import Costs
from arenalab.search.embedder.factory import UnknownEmbedderError, open_embedder
from arenalab.search.embedder.files import ModelFilesError
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.embedder.sentence_transformers import MissingExtraError
from arenalab.search.embedding import Embedding
from arenalab.search.finding.choosing import Chooser
from arenalab.search.finding.finder import Finder
from arenalab.search.finding.ranked import Ranked
from arenalab.search.finding.retrieval import Retrieval
from arenalab.search.finding.walks import Walks
from arenalab.search.index import hnswlib
from arenalab.search.index.builders import HNSWLIB
from arenalab.search.index.protocol import VectorIndex
from arenalab.search.index.remote.engines import open_engine
from arenalab.search.index.remote.protocol import RemoteEngine
from arenalab.search.index.remote.settings import RemoteSettings
from arenalab.search.lane import Lanes
from arenalab.search.observing import Observer
from arenalab.search.recall.certificate import Band, Certificates
from arenalab.search.recall.measuring import Measuring
from arenalab.search.recall.shadow import Outcome, Shadows
from arenalab.search.recall.tuner import tune
from arenalab.search.service import SERVICE_NAME, SearchService
from arenalab.search.shard_map import OwnShard, read_own_shard
from arenalab.search.store.payloads import Payloads
from arenalab.search.store.span_store import Record, SpanStore

_WALKS_MB: Final = 4


@asynccontextmanager
async def running_search(
    config: SearchConfig, telemetry: Telemetry, embedder: Embedder | None = None
) -> AsyncGenerator[int]:
    """Serves Search for the length of the `async with` block; yields its port.

    Args:
        config: Its settings.
        telemetry: How it is observed.
        embedder: Used instead of the one that the settings name; not closed here.

    Raises:
        MeshError: The store is damaged or held by another process, or the port is taken.
        ConfigError: The settings name no embedder, or one that is not installed.
    """
    vectors = open_cache(
        "embedding", config.cache_settings, telemetry.metrics, ttl_s=config.cache_ttl_s
    )
    async with vectors as kept:
        with ExitStack() as stack:
            service = await asyncio.to_thread(_build, config, telemetry, embedder, kept, stack)
            async with running_server(
                SERVICE_NAME, service.register, config.address, telemetry
            ) as port:
                yield port


def _build(
    config: SearchConfig,
    telemetry: Telemetry,
    embedder: Embedder | None,
    kept: Cache,
    stack: ExitStack,
) -> SearchService:
    if config.graph == HNSWLIB and not hnswlib.is_installed():
        raise ConfigError("SEARCH_GRAPH: the extra hnswlib is not installed")
    own_shard = read_own_shard(config.shard_map, config.shard)
    if embedder is None:
        embedder = _opened(config)
        stack.callback(embedder.close)
    observer = Observer(telemetry, embedder.id)
    costs = Costs(config.store_path.with_name("costs.json"), embedder.dimension)
    stack.callback(costs.keep)
    store = SpanStore(config.store_path)
    stack.callback(store.close)
    measuring = _measuring(config, observer, stack)
    indexing = Indexing(config, _remote(config, embedder, stack))
    library, upkeep = _library(
        config, store, indexing, embedder, observer, costs, measuring, own_shard
    )
    stack.callback(upkeep.stop)
    upkeep.start(library)
    embedding = Embedding(
        embedder,
        kept,
        ttl_s=config.cache_ttl_s,
        workers=config.workers_of(),
        queue_limit=config.queue_limit,
    )
    stack.callback(embedding.close)
    lanes = Lanes.of(config.workers_of(), config.queue_limit)
    stack.callback(lanes.close)
    retrieval = Retrieval(Chooser(costs.model, costs.latencies))
    ranked = Ranked(retrieval, store.texts, time.time, upkeep.index_words)
    payloads = Payloads(store)
    walks = _walks(config, payloads, telemetry, library)
    return SearchService(
        library,
        embedding,
        Finder(embedding, payloads, ranked, walks),
        upkeep=upkeep,
        lanes=lanes,
        measuring=measuring,
        model=costs.model,
        store_bytes=lambda: store.disk_bytes,
        shard_map=None if own_shard is None else own_shard.shard_map.to_proto(),
        observer=observer,
    )


def _walks(
    config: SearchConfig, payloads: Payloads, telemetry: Telemetry, library: Library
) -> Walks:
    statistics = LayerStatistics(telemetry.metrics, "walk", MemoryLayer.name)
    size_bytes = min(config.cache_memory_mb, _WALKS_MB) * 2**20
    return Walks(
        payloads,
        MemoryLayer(size_bytes, statistics),
        statistics,
        ttl_s=config.cache_trajectory_ttl_s,
        revision=library.revision,
    )


def _remote(config: SearchConfig, embedder: Embedder, stack: ExitStack) -> RemoteEngine | None:
    if config.index not in REMOTE_INDEXES:
        return None
    remote = open_engine(
        RemoteSettings(
            engine=Engine(config.index),
            uri=config.index_uri,
            embedder_digest=embedder.digest,
            namespace=config.index_namespace,
        )
    )
    stack.callback(remote.close)
    return remote


def _measuring(config: SearchConfig, observer: Observer, stack: ExitStack) -> Measuring:
    certificates = Certificates()

    def repeated(outcome: Outcome, band: Band) -> None:
        known = certificates.of(band) if outcome is Outcome.MEASURED else None
        observer.repeated(outcome, known)

    shadows = Shadows(certificates, rate=config.shadow_rate, observe=repeated)
    stack.callback(shadows.stop)
    shadows.start()
    return Measuring(certificates, shadows)


def _library(
    config: SearchConfig,
    store: SpanStore,
    indexing: Indexing,
    embedder: Embedder,
    observer: Observer,
    costs: Costs,
    measuring: Measuring,
    own_shard: OwnShard | None,
) -> tuple[Library, Upkeep]:
    files = SegmentFiles(config.store_path.with_name("segments"), indexing.load)

    def build(record: Record, segment: Segment, stopped: Callable[[], bool]) -> VectorIndex | None:
        # A machine is measured before its first index: without one there is no choice.
        costs.calibrate()
        return indexing.build(record, segment, stopped)

    upkeep = Upkeep(
        store,
        files,
        build_index=build,
        exact_limit=config.exact_limit,
        delta_limit=config.delta_limit,
        is_wanted=indexing.is_wanted,
        indexed=lambda _, segment: measuring.indexed(segment),
        forget=indexing.forget,
        tune=tune,
    )

    def changed(snapshot: Snapshot) -> None:
        observer.changed(snapshot)
        upkeep.changed(snapshot)

    key_path = config.dataset_public_key
    datasets = Datasets(
        DatasetStore(config.datasets_dir),
        embedder.identity,
        lambda: None if key_path is None else read_public_key(key_path),
    )
    library = Library(
        store,
        datasets,
        Loader(store, files),
        now_ns=time.time_ns,
        keeps=(lambda _tenant, _domain: True) if own_shard is None else own_shard.keeps,
        check_owner=(lambda _tenant, _domains: None) if own_shard is None else own_shard.check,
        changed=changed,
    )
    for snapshot in library.load():
        for segment in snapshot.segments:
            if not segment.is_scanned:
                measuring.indexed(segment)
    return library, upkeep


def _opened(config: SearchConfig) -> Embedder:
    try:
        return open_embedder(config.embedder)
    except (UnknownEmbedderError, ModelFilesError, MissingExtraError) as error:
        raise ConfigError(f"SEARCH_EMBEDDER: {error}") from error
