"""Builds Search from its settings: the one place that knows every concrete class."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

from arenalab.dataset import DatasetStore
from arenalab.mesh import ConfigError, Telemetry, running_server
from arenalab.search.config import SearchConfig
from arenalab.search.datasets import Datasets, read_public_key
from arenalab.search.embedder.factory import UnknownEmbedderError, open_embedder
from arenalab.search.embedder.files import ModelFilesError
from arenalab.search.embedder.protocol import Embedder
from arenalab.search.embedder.sentence_transformers import MissingExtraError
from arenalab.search.embedding import Embedding
from arenalab.search.finding import Finder
from arenalab.search.index import hnswlib
from arenalab.search.index.hnsw import HnswIndex
from arenalab.search.library import Library
from arenalab.search.observing import Observer
from arenalab.search.payloads import Payloads
from arenalab.search.service import SERVICE_NAME, SearchService
from arenalab.search.snapshot import Snapshot
from arenalab.search.store import SpanStore
from arenalab.search.upkeep import BuildGraph, Upkeep


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
    with ExitStack() as stack:
        service = await asyncio.to_thread(_build, config, telemetry, embedder, stack)
        async with running_server(
            SERVICE_NAME, service.register, config.address, telemetry
        ) as port:
            yield port


def _build(
    config: SearchConfig, telemetry: Telemetry, embedder: Embedder | None, stack: ExitStack
) -> SearchService:
    if embedder is None:
        embedder = _opened(config)
        stack.callback(embedder.close)
    store = SpanStore(config.store_path)
    stack.callback(store.close)
    key_path = config.dataset_public_key
    datasets = Datasets(
        DatasetStore(config.datasets_dir),
        embedder.identity,
        lambda: None if key_path is None else read_public_key(key_path),
    )
    upkeep = Upkeep(
        store,
        exact_limit=config.exact_limit,
        delta_limit=config.delta_limit,
        build_graph=_graph_builder(config),
    )
    observer = Observer(telemetry, embedder.id)

    def changed(snapshot: Snapshot) -> None:
        observer.changed(snapshot)
        upkeep.changed(snapshot)

    library = Library(store, datasets, now_ns=time.time_ns, changed=changed)
    library.load()
    stack.callback(upkeep.stop)
    upkeep.start(library)
    embedding = Embedding(embedder, workers=config.workers_of(), queue_limit=config.queue_limit)
    stack.callback(embedding.close)
    return SearchService(library, embedding, Finder(embedding, Payloads(store)), observer)


def _graph_builder(config: SearchConfig) -> BuildGraph:
    if config.graph == "faiss":
        return HnswIndex.build
    if not hnswlib.is_installed():
        raise ConfigError("SEARCH_GRAPH: the extra hnswlib is not installed")
    return hnswlib.HnswlibIndex.build


def _opened(config: SearchConfig) -> Embedder:
    try:
        return open_embedder(config.embedder)
    except (UnknownEmbedderError, ModelFilesError, MissingExtraError) as error:
        raise ConfigError(f"SEARCH_EMBEDDER: {error}") from error
