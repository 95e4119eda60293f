"""Asking a shard: one of its replicas for what is read, all of them for what is written."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

from arenalab.mesh import MeshError, NotReadyError
from arenalab.sharding.budget import Budget
from arenalab.sharding.shard_map import Shard, ShardMap

if TYPE_CHECKING:
    from arenalab.api.search.v1 import search_service_pb2_grpc as pb_grpc

_T = TypeVar("_T")


class Routes:
    """A shard map with the stubs of its replicas; never changed, so that a call keeps to one."""

    def __init__(
        self, shard_map: ShardMap, stubs: Mapping[str, "pb_grpc.SearchServiceAsyncStub"]
    ) -> None:
        """Keeps its arguments.

        Args:
            shard_map: Who holds what.
            stubs: By address, one for each of the map.
        """
        self.map: Final = shard_map
        self._stubs = stubs
        self._turns = count()

    async def read(self, shard: Shard, method: str, request: Any, timeout_s: float) -> Any:
        """Returns what a replica of the shard answers; see `read_any`."""
        return await self.read_any(shard.addresses, method, request, timeout_s)

    async def read_any(
        self, addresses: Sequence[str], method: str, request: Any, timeout_s: float
    ) -> Any:
        """Returns what the replica whose turn it is answers, or the next that can be reached.

        Args:
            addresses: Of the replicas.
            method: Of the stub.
            request: For the method.
            timeout_s: Seconds for all replicas that are tried together.

        Raises:
            MeshError: What the replica raised; NotReadyError when none can be reached.
        """
        budget = Budget(timeout_s)
        first = next(self._turns)
        unreachable: NotReadyError | None = None
        for turn in range(len(addresses)):
            if unreachable and budget.is_spent:
                break
            stub = self._stubs[addresses[(first + turn) % len(addresses)]]
            try:
                return await getattr(stub, method)(request, timeout=budget.left_s())
            except NotReadyError as error:
                unreachable = unreachable or error
        raise unreachable or NotReadyError("a shard without replicas")

    async def write(self, shard: Shard, method: str, request: Any, timeout_s: float) -> list[Any]:
        """Returns what every replica of the shard answers, in the order of the map.

        Replicas share nothing: one that missed a change would answer otherwise than the
        others. So all must take it, and a caller may repeat what only some took.

        Raises:
            MeshError: What the first replica that failed raised; others may have taken it.
        """
        stubs = [self._stubs[address] for address in shard.addresses]
        done = await settled(getattr(stub, method)(request, timeout=timeout_s) for stub in stubs)
        for one in done:
            if isinstance(one, MeshError):
                raise one
        return done


async def settled(calls: Iterable[Awaitable[_T]]) -> list[_T | MeshError]:
    """Returns what each call returned or, of errors, a MeshError; raises any other error."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, MeshError):
            raise one
    return done  # type: ignore[return-value]  # checked above
