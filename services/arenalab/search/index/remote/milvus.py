"""Milvus: a collection a segment, found by its alias once it is whole.

A collection has a name that says what it is of, and gets its alias last, so that a half
loaded one is never served and a new one takes the place of an old one in one step. A
collection each, rather than a partition each of one for all: to drop a segment leaves
nothing to compact, and other tenants' rows are in no reach of a query.

The same code asks a cluster, by its URI, and a milvus-lite file, by its path, which is a
twin for tests and says nothing about speed.
"""

import logging
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final

import grpc
from pymilvus import DataType, MilvusClient, MilvusException

from arenalab.mesh import DataLossError, MeshError, NotReadyError
from arenalab.planning import Engine
from arenalab.search.columns.columns import Columns
from arenalab.search.index.protocol import BuildStoppedError, FloatArray, check_vectors
from arenalab.search.index.remote.fields import MAX_TEXT_BYTES, FieldReader, SpanFields
from arenalab.search.index.remote.index import RemoteIndex
from arenalab.search.index.remote.milvus_segment import (
    METRIC,
    ROW,
    VECTOR,
    MilvusSegment,
    ancestors_of,
)
from arenalab.search.index.remote.naming import (
    RemoteSegmentError,
    SegmentName,
    check_same,
    digest_key,
)
from arenalab.search.index.remote.settings import RemoteSettings

_MAX_DIMENSION: Final = 32_768
_MAX_ANCESTORS: Final = 128  # a domain has at most 256 characters
_MAX_TAGS: Final = 32  # of a span
# Answers of a server: COLLECTION_NOT_FOUND, and of an alias.
_NOT_FOUND: Final = 100
_NO_ALIAS: Final = 1600
# A server that is back is noticed at once, whatever other channels to it went through.
_CHANNEL: Final = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
}
# pymilvus logs each failed request with its traceback, and then raises it.
_QUIET: Final = logging.CRITICAL


class Milvus:
    """Segments in one database of a cluster, or in one file."""

    engine = Engine.MILVUS

    def __init__(self, settings: RemoteSettings) -> None:
        """Connects to nothing yet."""
        self._settings = settings
        self._slots = threading.BoundedSemaphore(settings.connections)
        self._lock = threading.Lock()
        self._client: Any = None
        self._is_closed = False
        logging.getLogger("pymilvus").setLevel(_QUIET)

    def build(
        self,
        name: SegmentName,
        vectors: FloatArray,
        columns: Columns,
        stopped: Callable[[], bool] = lambda: False,
    ) -> RemoteIndex:
        vectors = check_vectors(vectors)
        if len(vectors) != len(columns):
            raise ValueError(f"got {len(vectors)} vectors for {len(columns)} spans")
        size, dimension = vectors.shape
        if not 1 < dimension <= _MAX_DIMENSION:
            raise ValueError(f"Milvus takes 2 to {_MAX_DIMENSION} dimensions, got {dimension}")
        collection = self._collection(name, size, dimension)
        try:
            self._fill(collection, vectors, columns, stopped)
            replaced = self._aliased(name)
            self._call(
                "create_alias" if replaced is None else "alter_alias",
                collection,
                self._alias(name),
            )
        except BaseException:
            with suppress(MeshError, MilvusException):
                self._call("drop_collection", collection)
            raise
        self._drop_others(name, collection)
        return self._index(name, collection, size, dimension)

    def load(self, name: SegmentName, *, size: int, dimension: int) -> RemoteIndex:
        collection = self._aliased(name)
        if collection is None:
            raise RemoteSegmentError("milvus has no such segment")
        described = _parsed(collection)
        check_same(described, (size, dimension, digest_key(self._settings.embedder_digest)))
        self._call("load_collection", collection, timeout_s=self._settings.build_timeout_s)
        rows = self._count(collection)
        if rows != size:
            raise RemoteSegmentError(f"the segment has {rows} rows, expected {size}")
        return self._index(name, collection, size, dimension)

    def drop(self, name: SegmentName) -> None:
        if self._aliased(name) is not None:
            self._call("drop_alias", self._alias(name))
        self._drop_others(name, None)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _fill(
        self,
        collection: str,
        vectors: FloatArray,
        columns: Columns,
        stopped: Callable[[], bool],
    ) -> None:
        build_timeout_s = self._settings.build_timeout_s
        self._call(
            "create_collection",
            collection,
            schema=_schema(vectors.shape[1]),
            # Nothing changes once it is whole: no search need wait for what is new.
            consistency_level="Eventually",
        )
        reader, step = FieldReader(columns), self._settings.batch_rows
        for start in range(0, len(vectors), step):
            if stopped():
                raise BuildStoppedError
            stop = min(len(vectors), start + step)
            rows = [
                _entity(row, fields, vectors[row])
                for row, fields in enumerate(reader.read(start, stop), start)
            ]
            self._call("insert", collection, rows, timeout_s=build_timeout_s)
        self._call("flush", collection, timeout_s=build_timeout_s)
        if stopped():
            raise BuildStoppedError
        self._call("create_index", collection, self._graph(), timeout_s=build_timeout_s)
        self._call("load_collection", collection, timeout_s=build_timeout_s)
        if (found := self._count(collection)) != len(vectors):
            raise DataLossError(
                f"milvus kept {found} of {len(vectors)} rows", engine=self.engine.value
            )

    def _graph(self) -> Any:
        parameters = MilvusClient.prepare_index_params()
        parameters.add_index(
            VECTOR,
            index_type="HNSW",
            metric_type=METRIC,
            params={"M": self._settings.links, "efConstruction": self._settings.ef_construction},
        )
        return parameters

    def _index(self, name: SegmentName, collection: str, size: int, dimension: int) -> RemoteIndex:
        return RemoteIndex(
            MilvusSegment(self._call, name, collection, size=size, dimension=dimension)
        )

    def _alias(self, name: SegmentName) -> str:
        return f"{self._settings.namespace}_{name.key}"

    def _collection(self, name: SegmentName, size: int, dimension: int) -> str:
        digest = digest_key(self._settings.embedder_digest)
        return f"{self._alias(name)}_{size}_{dimension}_{digest}_{token_hex(4)}"

    def _aliased(self, name: SegmentName) -> str | None:
        try:
            return str(self._call("describe_alias", self._alias(name))["collection_name"])
        except _MissingError:
            return None

    def _drop_others(self, name: SegmentName, kept: str | None) -> None:
        """Drops what was replaced, and what builds left that were killed."""
        start = f"{self._alias(name)}_"
        for collection in self._call("list_collections"):
            if collection.startswith(start) and collection != kept:
                self._call("drop_collection", collection)

    def _count(self, collection: str) -> int:
        [found] = self._call(
            "query", collection, filter="", output_fields=["count(*)"], consistency_level="Strong"
        )
        return int(found["count(*)"])

    def _call(
        self, method: str, *arguments: Any, timeout_s: float | None = None, **named: Any
    ) -> Any:
        """Calls a method of the client.

        Raises:
            NotReadyError: The server cannot be reached, or did not answer in time.
            DataLossError: The collection is gone.
        """
        timeout_s = self._settings.timeout_s if timeout_s is None else timeout_s
        if not self._slots.acquire(timeout=timeout_s):
            raise NotReadyError(
                f"all {self._settings.connections} calls to milvus are busy",
                engine=self.engine.value,
            )
        try:
            return getattr(self._connected(), method)(*arguments, timeout=timeout_s, **named)
        except MilvusException as error:
            raise _translated(error) from error
        except (grpc.RpcError, grpc.FutureTimeoutError, ConnectionError) as error:
            raise _unreachable() from error
        finally:
            self._slots.release()

    def _connected(self) -> Any:
        with self._lock:
            if self._is_closed:
                raise NotReadyError("milvus is closed", engine=self.engine.value)
            if self._client is None:
                self._client = MilvusClient(
                    self._settings.uri, timeout=self._settings.timeout_s, grpc_options=_CHANNEL
                )
            return self._client


class _MissingError(DataLossError):
    """The server answered that there is no such collection or alias."""


def _translated(error: MilvusException) -> Exception:
    code = error.code
    if code in {_NOT_FOUND, _NO_ALIAS}:
        return _MissingError("a segment is gone from milvus", engine=Engine.MILVUS.value)
    return ValueError("milvus refused a request") if error.is_input_error else _unreachable()


def _unreachable() -> NotReadyError:
    # Without the client's own words: they name the address.
    return NotReadyError(
        "milvus cannot be reached or did not answer in time", engine=Engine.MILVUS.value
    )


def _parsed(collection: str) -> tuple[object, ...]:
    """Returns size, dimension and embedder of a collection, by its name."""
    found = re.search(r"_(\d+)_(\d+)_([0-9a-f]{16})_[0-9a-f]{8}$", collection)
    if found is None:
        raise RemoteSegmentError("the segment is of a form that is not known here")
    return int(found[1]), int(found[2]), found[3]


def _schema(dimension: int) -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ROW, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    for name in ("action", "source", "creature"):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    for name, capacity in (("ancestors", _MAX_ANCESTORS), ("tags", _MAX_TAGS)):
        schema.add_field(
            name,
            DataType.ARRAY,
            element_type=DataType.VARCHAR,
            max_capacity=capacity,
            max_length=MAX_TEXT_BYTES,
        )
    for name in ("when_s", "when_ns", "status"):
        schema.add_field(name, DataType.INT64)
    schema.add_field("quality", DataType.DOUBLE)
    schema.add_field("online", DataType.BOOL)
    return schema


def _entity(row: int, fields: SpanFields, vector: FloatArray) -> dict[str, Any]:
    entity = fields._asdict()
    entity["ancestors"] = ancestors_of(entity.pop("domain"))
    return {ROW: row, VECTOR: vector, **entity}
