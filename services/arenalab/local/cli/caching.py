"""`arenalab cache warm`: questions asked before anybody asks them.

Memory alone is asked: nothing is answered to anybody, so that nothing is sealed or audited.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.predictor.v1 import predictor_service_pb2 as pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as pb_grpc
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.cli.ledger_client import DEFAULT_SCOPE, ScopeOption
from arenalab.local.home import Home
from arenalab.local.session import mesh_for
from arenalab.mesh import InvalidInputError, Telemetry, connect, scope_for

if TYPE_CHECKING:
    Stub = pb_grpc.PredictorServiceAsyncStub

_AT_ONCE: Final = 4

app = typer.Typer(no_args_is_help=True)


@app.callback()
def cache() -> None:
    """Outputs that are kept for repeated questions."""


@app.command("warm")
@command
async def warm(
    file: Annotated[Path, typer.Argument(help="Questions, one a line.")],
    *,
    creature: Annotated[str, typer.Option(help="Whom to ask; by default every creature.")] = "",
    scope: ScopeOption = DEFAULT_SCOPE,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Ask memory the questions of a file, so that the first who asks them does not wait."""
    questions = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    questions = list(dict.fromkeys(question for question in questions if question))
    if not questions:
        raise InvalidInputError(f"{file} holds no question", field="file")
    async with _predictor_of(home_from(home)) as predictor:
        names = [creature] if creature else await _creatures(predictor, scope)
        requests = [_request(question, name, scope) for question in questions for name in names]
        layers = await _asked(predictor, requests)
    computed = layers.count(answer_pb2.CACHE_LAYER_UNSPECIFIED)
    if as_json:
        out.print_json(data={"computed": computed, "known": len(layers) - computed})
        return
    out.print(f"{computed} outputs computed, {len(layers) - computed} were kept already")


@asynccontextmanager
async def _predictor_of(home: Home) -> "AsyncGenerator[Stub]":
    async with (
        mesh_for(home) as running,
        connect(running.addresses["predictor"], Telemetry("cli")) as channel,
    ):
        yield pb_grpc.PredictorServiceStub(channel)


async def _creatures(predictor: "Stub", scope: str) -> list[str]:
    listed = await predictor.ListCreatures(pb.ListCreaturesRequest(scope=scope_for(scope)))
    return [one.name for one in listed.creatures]


def _request(question: str, creature: str, scope: str) -> pb.PredictRequest:
    """Returns the request that the ensemble makes of a single question, to the byte."""
    turn = message_pb2.Message(role=message_pb2.ROLE_USER, content=question)
    return pb.PredictRequest(scope=scope_for(scope), creature=creature, messages=[turn])


async def _asked(
    predictor: "Stub", requests: Sequence[pb.PredictRequest]
) -> list[answer_pb2.CacheLayer.ValueType]:
    """Returns the layers that the outputs came from."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(request: pb.PredictRequest) -> answer_pb2.CacheLayer.ValueType:
        async with slots:
            return (await predictor.Predict(request)).cache_layer

    return list(await asyncio.gather(*(ask(request) for request in requests)))
