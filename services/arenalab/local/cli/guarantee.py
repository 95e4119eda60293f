"""`arenalab guarantee`, `audits`, `feedback` and `recalibrate`: does the bound still hold?"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.table import Table

from arenalab.api.common.v1 import answer_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.session import mesh_for
from arenalab.mesh import InvalidInputError, Telemetry, connect

if TYPE_CHECKING:
    import grpc

# Every labelled question is asked anew.
CALIBRATE_TIMEOUT_S: Final = 3600.0
_VOID: Final = answer_pb2.GUARANTEE_STATUS_VOID


@command
async def guarantee(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show whether each dataset's bound holds now. Exit code 1: one of them is void."""
    async with _channel(home, "predictor") as channel:
        reply = await predictor_grpc.PredictorServiceStub(channel).GetGuaranteeStatus(
            predictor_pb.GetGuaranteeStatusRequest()
        )
    if as_json:
        out.print_json(data=_form(reply))
    elif not reply.datasets:
        out.print("nothing is published")
    else:
        for one in reply.datasets:
            _show(one)
    if any(one.trouble or one.guarantee.status == _VOID for one in reply.datasets):
        raise typer.Exit(1)


@command
async def audits(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most so many.")] = 100,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show the predictions drawn at random that wait for a label, oldest first."""
    async with _channel(home, "ensemble") as channel:
        reply = await pb_grpc.EnsembleServiceStub(channel).ListAudits(
            pb.ListAuditsRequest(limit=limit)
        )
    if as_json:
        out.print_json(data=_form(reply))
        return
    for one in reply.audits:
        served = "served" if one.served else "not served"
        out.print(f"[bold]{one.prediction_id}[/bold]  {served}, confidence {one.confidence:.3f}")
        out.print(
            f"  question  {one.turns[-1] if one.turns else '(too long to keep)'}", markup=False
        )
        out.print(f"  memory    {one.output}", markup=False)
    out.print(f"{reply.pending} to label")
    if reply.audits:
        out.print("each: arenalab feedback ID --audit with --right, --wrong or --actual TEXT")


@command
async def feedback(
    prediction_id: Annotated[str, typer.Argument(help="Of the answer, as `ask` shows it.")],
    *,
    right: Annotated[bool, typer.Option("--right", help="It was right.")] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="It was wrong.")] = False,
    actual: Annotated[
        str | None,
        typer.Option(help="What would have been right; empty: nothing that memory could say."),
    ] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="From 1 to 5.")] = None,
    comment: Annotated[str, typer.Option(help="For people.")] = "",
    audit: Annotated[
        bool,
        typer.Option("--audit", help="Label what `audits` shows, because it was drawn."),
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Say whether an answer was right."""
    if right and wrong:
        raise InvalidInputError("--right and --wrong contradict each other", field="right")
    request = pb.FeedbackRequest(prediction_id=prediction_id, comment=comment, audit=audit)
    if right or wrong:
        request.helpful = right
    if actual is not None:
        request.actual_output = actual
    if rating is not None:
        request.rating = rating
    async with _channel(home, "ensemble") as channel:
        reply = await pb_grpc.EnsembleServiceStub(channel).Feedback(request)
    verdict = pb.Verdict.Name(reply.verdict).removeprefix("VERDICT_").lower()
    if as_json:
        out.print_json(data={"verdict": verdict, "known": reply.known})
        return
    said = {"right": "memory was right", "wrong": "memory was wrong"}
    out.print(said.get(verdict, "kept; it says nothing of memory's answer"))
    if reply.known:
        out.print("there was feedback already, which stands")


@command
async def recalibrate(
    creature: Annotated[
        str, typer.Argument(help="By default that of the dataset published last.")
    ] = "",
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Calibrate anew from the labels of audits, at least 50; answers go on meanwhile."""
    async with _channel(home, "predictor") as channel:
        reply = await predictor_grpc.PredictorServiceStub(channel).Calibrate(
            _header(creature), timeout=CALIBRATE_TIMEOUT_S
        )
    if as_json:
        out.print_json(data=_form(reply))
        return
    found = reply.summary.guarantee
    if not found.HasField("threshold"):
        out.print(
            f"no threshold keeps the risk within {found.alpha:.1%} on {found.calibration_size} "
            "labelled questions; memory abstains"
        )
        return
    out.print(
        f"threshold {found.threshold:.3f}, coverage {reply.summary.coverage:.0%}: "
        f"{found.calibration_errors} of {found.calibration_served} were wrong, among "
        f"{found.calibration_size} labelled questions"
    )


def _header(creature: str) -> Iterator[predictor_pb.CalibrateRequest]:
    header = predictor_pb.CalibrateHeader(creature=creature, from_labels=True)
    yield predictor_pb.CalibrateRequest(header=header)


def _show(one: predictor_pb.DatasetGuarantee) -> None:
    if one.trouble:
        out.print(f"[bold]{one.dataset}[/bold]: cannot be opened: {one.trouble}")
        return
    bound = one.guarantee
    status = answer_pb2.GuaranteeStatus.Name(bound.status).removeprefix("GUARANTEE_STATUS_")
    out.print(f"[bold]{one.dataset}[/bold]: {status.lower()}   ({', '.join(one.creatures)})")
    out.print(
        f"at most {bound.alpha:.1%} of served answers wrong, with confidence {1 - bound.delta:.1%}"
    )
    if bound.status_reason:
        out.print(bound.status_reason, markup=False)
    elif bound.status == _VOID:
        out.print(f"no threshold satisfies it on {bound.calibration_size} calibration questions")
    if one.tests:
        out.print(_tests(one))
    error = f"{one.audited_error:.1%}" if one.HasField("audited_error") else "not known"
    out.print(
        f"{one.served:,} answers served since the calibration, {one.audit_labels:,} audits "
        f"labelled; error of served answers {error}; {one.usable_labels:,} labels to calibrate with"
    )


def _tests(one: predictor_pb.DatasetGuarantee) -> Table:
    table = Table("test", "e-value", "degrades at", "voids at", "answers", "wrong")
    for test in one.tests:
        table.add_row(
            test.name,
            f"{test.e_value:.3g}",
            f"{test.degrades_at:g}",
            f"{test.voids_at:g}" if test.HasField("voids_at") else "never",
            f"{test.observed:,}",
            f"{test.errors:,}" if test.name != "exchangeability" else "",
        )
    return table


def _form(reply: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


@asynccontextmanager
async def _channel(home: Path | None, service: str) -> AsyncGenerator["grpc.aio.Channel"]:
    async with (
        mesh_for(home_from(home)) as running,
        connect(running.addresses[service], Telemetry("cli")) as channel,
    ):
        yield channel
