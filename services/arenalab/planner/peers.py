"""What the planner asks of search."""

from typing import TYPE_CHECKING, NamedTuple

from arenalab.api.common.v1 import filter_pb2
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.mesh import scope_for
from arenalab.planner.requests import Counted, Known, counted_of, known_of

if TYPE_CHECKING:
    from arenalab.api.search.v1.search_service_pb2_grpc import SearchServiceAsyncStub


class Collection(NamedTuple):
    """A dataset of a tenant."""

    tenant: str
    dataset: str


class Filtered(NamedTuple):
    """A filter over a collection."""

    collection: Collection
    wanted: bytes  # a SpanFilter, serialised: messages cannot be keys


class Search:
    """Asks SearchService for counts; errors are those of the mesh."""

    def __init__(self, stub: "SearchServiceAsyncStub", timeout_s: float) -> None:
        """Keeps its arguments.

        Args:
            stub: Of search.
            timeout_s: Seconds that one question may take.
        """
        self._stub = stub
        self._timeout_s = timeout_s

    async def stats(self, of: Collection) -> Known:
        """Returns what is known of a collection."""
        request = search_pb.StatsRequest(scope=scope_for(of.tenant), dataset=of.dataset)
        return known_of(await self._stub.Stats(request, timeout=self._timeout_s))

    async def count(self, of: Filtered) -> Counted:
        """Returns how many spans pass a filter."""
        request = search_pb.CountRequest(
            scope=scope_for(of.collection.tenant),
            dataset=of.collection.dataset,
            filter=filter_pb2.SpanFilter.FromString(of.wanted),
        )
        return counted_of(await self._stub.Count(request, timeout=self._timeout_s))
