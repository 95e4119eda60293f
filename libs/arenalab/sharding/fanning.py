"""Carrying a call to several shards, and what their errors mean together."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from arenalab.api.common.v1 import scope_pb2, span_pb2
from arenalab.api.search.v1 import search_service_pb2 as pb
from arenalab.mesh import (
    DeadlineError,
    InvalidInputError,
    MeshError,
    NotFoundError,
    NotReadyError,
    PreconditionError,
    Reason,
    tenant_of,
)
from arenalab.mesh.deadline import remaining_s
from arenalab.sharding.merging import Answers
from arenalab.sharding.replicas import Routes, settled
from arenalab.sharding.shard_map import Shard

# Of the time given, how much a shard gets where others answer too: the rest is for
# merging, and for the caller to use what came.
_SHARE_OF_TIME: Final = 0.9
_PLACE: Final = re.compile(r"spans\[(\d+)\]")


def of_tenant(routes: Routes, scope: scope_pb2.Scope) -> tuple[Shard, ...]:
    tenant = tenant_of(scope)
    shards = routes.map.of_tenant(tenant)
    if not shards:
        raise PreconditionError(f"no shard serves the tenant {tenant}", Reason.NO_DATASET)
    return shards


def asked(routes: Routes, request: Any) -> tuple[Shard, ...]:
    """Returns the shards to search: one that has no match says so, and of which version."""
    serving = of_tenant(routes, request.scope)
    holding = routes.map.shards_for_filter(tenant_of(request.scope), request.filter)
    return holding or serving[:1]


async def write_to_owners(
    routes: Routes,
    request: Any,
    method: str,
    timeout_s: float,
) -> list[list[Any]]:
    """Sends each span of a request to the shard of its domain.

    Args:
        routes: Where to.
        request: Has a scope, a dataset and spans, with or without their vectors.
        method: Of the stub.
        timeout_s: Seconds that it may take.

    Raises:
        InvalidInputError: INVALID_VECTOR; the vectors cannot be one each of the spans.
        MeshError: As `write_all`; a place in the request is that of the whole request.
    """
    tenant = tenant_of(request.scope)
    places: dict[Shard, list[int]] = {}
    for place, span in enumerate(request.spans):
        owner = routes.map.owner(tenant, span.context.environment)
        places.setdefault(owner, []).append(place)
    if not places:  # the shard says what is wrong with none
        places = {routes.map.shards[0]: []}
    parts = [(shard, _part(request, its)) for shard, its in places.items()]
    try:
        return await write_all(routes, parts, method, timeout_s)
    except InvalidInputError as error:
        named = {shard.name: its for shard, its in places.items()}
        raise _replaced(error, named.get(error.metadata.get("shard", ""), [])) from error


def _part(request: Any, places: Sequence[int]) -> Any:
    """Returns the request for some of its spans, with the vectors of these."""
    if len(places) == len(request.spans):  # what is wrong with it, the shard says
        return request
    row_bytes, rest = divmod(len(request.vectors), len(request.spans))
    if rest:
        raise InvalidInputError(
            f"vectors must hold as many float32 of each span, got {len(request.vectors)} bytes"
            f" for {len(request.spans)} spans",
            Reason.INVALID_VECTOR,
            field="vectors",
        )
    vectors = memoryview(request.vectors)
    return type(request)(
        scope=request.scope,
        dataset=request.dataset,
        spans=[request.spans[at] for at in places],
        vectors=b"".join(vectors[at * row_bytes : (at + 1) * row_bytes] for at in places),
        embedder_digest=request.embedder_digest,
    )


def _replaced(error: InvalidInputError, places: Sequence[int]) -> InvalidInputError:
    """Returns the error with the place in its field counted over the whole request."""
    field = error.metadata.get("field", "")
    found = _PLACE.match(field)
    if found is None or int(found[1]) >= len(places):
        return error
    here, there = found[0], f"spans[{places[int(found[1])]}]"
    metadata = {**error.metadata, "field": field.replace(here, there, 1)}
    return InvalidInputError(str(error).replace(here, there), error.reason, **metadata)


async def read_all(
    routes: Routes, shards: Sequence[Shard], method: str, request: Any, timeout_s: float
) -> Answers[Any]:
    """Returns what the shards say.

    Raises:
        InvalidInputError: A shard refuses the request.
        MeshError: All of them fail.
    """
    share_s = remaining_s(timeout_s) * _SHARE_OF_TIME
    done = await settled(routes.read(shard, method, request, share_s) for shard in shards)
    responses, errors = _sorted_out(shards, done)
    if not responses:
        raise gravest(errors)
    return Answers(responses=responses, errors=errors)


def _sorted_out(
    shards: Sequence[Shard], done: Sequence[Any]
) -> tuple[dict[str, Any], dict[str, MeshError]]:
    """Returns responses and errors by shard; raises the first InvalidInputError."""
    responses: dict[str, Any] = {}
    errors: dict[str, MeshError] = {}
    for shard, one in zip(shards, done, strict=True):
        if isinstance(one, InvalidInputError):
            raise one
        if isinstance(one, MeshError):
            errors[shard.name] = one
        else:
            responses[shard.name] = one
    return responses, errors


def gravest(errors: Mapping[str, MeshError]) -> MeshError:
    """Returns the error to raise for all, naming its shard.

    It is one that may pass, if there is one: nobody knows what that shard would have said.
    """
    name, error = next(
        (
            (name, error)
            for name, error in errors.items()
            if isinstance(error, (NotReadyError, DeadlineError))
        ),
        next(iter(errors.items())),
    )
    return _from_shard(name, error)


def _from_shard(name: str, error: MeshError) -> MeshError:
    named = type(error)(f"shard {name}: {error}", error.reason, **{**error.metadata, "shard": name})
    named.__cause__ = error
    return named


async def write_all(
    routes: Routes, parts: Sequence[tuple[Shard, Any]], method: str, timeout_s: float
) -> list[list[Any]]:
    """Returns what each replica of each shard says."""
    if len(parts) == 1:
        shard, request = parts[0]
        return [await routes.write(shard, method, request, timeout_s)]
    done = await settled(
        routes.write(shard, method, request, timeout_s) for shard, request in parts
    )
    failed = {
        shard.name: one
        for (shard, _), one in zip(parts, done, strict=True)
        if isinstance(one, MeshError)
    }
    if failed:
        name, error = next(iter(failed.items()))
        raise _from_shard(name, error)
    return done  # type: ignore[return-value]  # no error among them


async def held(
    routes: Routes, shards: Sequence[Shard], request: pb.GetSpansRequest, timeout_s: float
) -> dict[str, list[span_pb2.Span]]:
    """Returns the spans that each shard has, each of them once.

    Raises:
        NotFoundError: UNKNOWN_SPAN; the first id that no shard has, unless such are left out.
        MeshError: An id is not found, and a shard that may have it fails.
    """
    wanted = pb.GetSpansRequest(
        scope=request.scope,
        dataset=request.dataset,
        span_ids=request.span_ids,
        skip_missing=True,
    )
    share_s = remaining_s(timeout_s) * _SHARE_OF_TIME
    done = await settled(routes.read(shard, "GetSpans", wanted, share_s) for shard in shards)
    found, errors = _sorted_out(shards, done)
    held = {
        name: list({span.id: span for span in one.spans}.values()) for name, one in found.items()
    }
    known = {span.id for spans in held.values() for span in spans}
    lost = next((span_id for span_id in request.span_ids if span_id not in known), None)
    if lost is not None and errors:
        raise gravest(errors)
    if lost is not None and not request.skip_missing:
        raise NotFoundError(
            f"no span has the id {lost[:80]!a}", Reason.UNKNOWN_SPAN, span_id=lost[:80]
        )
    return held
