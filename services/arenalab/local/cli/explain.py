"""`arenalab explain`: how a search would be carried out, why, and how that compares."""

import statistics
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer
from google.protobuf import json_format, timestamp_pb2
from rich.table import Table

from arenalab.api.common.v1 import filter_pb2, plan_pb2
from arenalab.api.planner.v1 import planner_service_pb2 as pb
from arenalab.api.planner.v1 import planner_service_pb2_grpc as pb_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.atomic import SpanError
from arenalab.atomic.instant import split_when
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.home import Home
from arenalab.local.session import mesh_for
from arenalab.mesh import ConfigError, InvalidInputError, Reason, Telemetry, connect

if TYPE_CHECKING:
    from arenalab.api.planner.v1.planner_service_pb2_grpc import PlannerServiceAsyncStub
    from arenalab.api.search.v1.search_service_pb2_grpc import SearchServiceAsyncStub

RUNS: Final = 5


class Measured(NamedTuple):
    """What one plan did when it was carried out."""

    search_us: float  # median
    matches: int
    engine: str  # that really ran
    certificate: str
    hits: int


class _Peers(NamedTuple):
    planner: "PlannerServiceAsyncStub"
    search: "SearchServiceAsyncStub"


@command
async def explain(
    question: Annotated[str, typer.Argument(help="What would be looked for.")],
    *,
    dataset: Annotated[str, typer.Option(help="By default the one published last.")] = "",
    domain: Annotated[list[str] | None, typer.Option(help="A domain, or one above it.")] = None,
    action: Annotated[list[str] | None, typer.Option(help="An action, exactly.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; all must be there.")] = None,
    min_quality: Annotated[float | None, typer.Option(help="At least this score.")] = None,
    since: Annotated[str | None, typer.Option(help="At or after, such as 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option(help="Before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Hits wanted.")] = 10,
    recall: Annotated[
        float, typer.Option(help="Share of the true nearest that is wanted, in (0, 1].")
    ] = 0.99,
    analyze: Annotated[bool, typer.Option(help="Carry every plan out, and measure.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show the plan of a search, why it was chosen, and what the others would cost."""
    if not question.strip():
        raise InvalidInputError("question must not be blank", Reason.EMPTY_TEXT, field="question")
    if not 0 < recall <= 1:
        raise InvalidInputError(f"recall must be in (0, 1], got {recall:g}", field="recall")
    wanted = filter_pb2.SpanFilter(
        domains=domain or (),
        actions=action or (),
        tags=tag or (),
        min_quality=min_quality,
        not_before=_instant(since, "since"),
        before=_instant(until, "until"),
    )
    request = pb.PlanRequest(dataset=dataset, filter=wanted, limit=limit, recall_target=recall)
    async with _peers(home_from(home)) as peers:
        reply = await peers.planner.Plan(request)
        plans = [reply.plan, *reply.rejected]
        measured = []
        if analyze:
            measured = [await _measure(peers, request, question, plan) for plan in plans]
    if as_json:
        out.print_json(data=_as_json(plans, measured))
        return
    _show(plans, measured)


@asynccontextmanager
async def _peers(home: Home) -> AsyncGenerator[_Peers]:
    async with mesh_for(home) as running:
        if "planner" not in running.addresses:
            raise ConfigError("the mesh that is named has no planner=HOST:PORT")
        telemetry = Telemetry("cli")
        async with (
            connect(running.addresses["planner"], telemetry) as planner,
            connect(running.addresses["search"], telemetry) as search,
        ):
            yield _Peers(pb_grpc.PlannerServiceStub(planner), search_grpc.SearchServiceStub(search))


def _instant(text: str | None, option: str) -> timestamp_pb2.Timestamp | None:
    if text is None:
        return None
    # A day alone is its first moment.
    whole = text if "T" in text.upper() else f"{text}T00:00:00Z"
    try:
        seconds, nanos = split_when(whole, option)
    except SpanError as error:
        raise InvalidInputError(str(error), field=option) from error
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)


async def _measure(
    peers: _Peers, request: pb.PlanRequest, question: str, plan: plan_pb2.QueryPlan
) -> Measured:
    search = search_pb.SearchTextRequest(
        dataset=request.dataset,
        text=question,
        filter=request.filter,
        limit=request.limit,
        plan=plan,
    )
    replies = [await peers.search.SearchText(search) for _ in range(RUNS)]
    last = replies[-1]
    return Measured(
        search_us=statistics.median(reply.search_us for reply in replies),
        matches=last.matches,
        engine=_name(plan_pb2.Engine.Name(last.engine)),
        certificate=_certificate(last.certificate),
        hits=len(last.hits),
    )


def _certificate(certificate: plan_pb2.Certificate) -> str:
    if certificate.exact:
        return "exact"
    if not certificate.HasField("recall"):
        return "approximate, not measured yet"
    low = f"at least {certificate.recall_low:.3f}" if certificate.samples else "few samples"
    return f"recall {certificate.recall:.3f} ({low}, {certificate.band})"


def _show(plans: Sequence[plan_pb2.QueryPlan], measured: Sequence[Measured]) -> None:
    table = Table("", "engine", "filter", "effort", "candidates", "estimated")
    if measured:
        for title in ("measured", "ran", "matches", "hits", "certificate"):
            table.add_column(title)
    for place, plan in enumerate(plans):
        table.add_row(*_row(place, plan), *(_cells(measured[place]) if measured else ()))
    out.print(table)
    for step in plans[0].filter_steps:
        out.print(f"{step.condition:14} {step.matches:>12,} spans  {step.selectivity:8.2%}")
    out.print(plans[0].explanation)


def _row(place: int, plan: plan_pb2.QueryPlan) -> tuple[str, ...]:
    effort = ""
    if plan.ef_search:
        effort = f"ef {plan.ef_search:,}"
    elif plan.n_probe:
        effort = f"{plan.n_probe:,} lists"
    return (
        "" if place else "chosen",
        _name(plan_pb2.Engine.Name(plan.engine)),
        _name(plan_pb2.FilterStrategy.Name(plan.filter_strategy)),
        effort,
        f"{plan.candidates:,}",
        f"{plan.cost_us:,.0f} µs",
    )


def _cells(one: Measured) -> tuple[str, ...]:
    return (
        f"{one.search_us:,.0f} µs",
        one.engine,
        f"{one.matches:,}",
        f"{one.hits:,}",
        one.certificate,
    )


def _name(constant: str) -> str:
    return constant.removeprefix("FILTER_STRATEGY_").removeprefix("ENGINE_").lower()


def _as_json(
    plans: Sequence[plan_pb2.QueryPlan], measured: Sequence[Measured]
) -> dict[str, object]:
    shown = [json_format.MessageToDict(plan, preserving_proto_field_name=True) for plan in plans]
    for plan, one in zip(shown, measured, strict=False):
        plan["measured"] = one._asdict()
    return {"plan": shown[0], "rejected": shown[1:]}
