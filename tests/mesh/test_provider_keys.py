"""Callers' provider keys, from the gateway to the provider, over a mesh that keeps files.

Gateway, ensemble, fallback and ledger are the real ones; the predictor is scripted to
abstain, and the providers are HTTP servers of the tests.
"""

import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

from arenalab.api.common.v1 import scope_pb2
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.ensemble.config import EnsembleConfig
from arenalab.ensemble.wiring import running_ensemble
from arenalab.fallback.config import FallbackConfig, ProviderConfig
from arenalab.fallback.wiring import running_fallback
from arenalab.gateway.config import GatewayConfig
from arenalab.gateway.wiring import running_gateway
from arenalab.ledger.config import LedgerConfig
from arenalab.ledger.wiring import running_ledger
from arenalab.mesh import Telemetry, connect
from arenalab.mesh.logs import JsonFormatter
from tests.mesh.scripted_provider import HELLO, Exchange, Play, Provider, status
from tests.mesh.test_ensemble_service import _abstains, _Predictor, _serving

KEPT = "sk-kept-for-acme-0001"
SENT = "sk-sent-with-the-call-0002"
OURS = "sk-of-the-operator-0003"
GATEWAY_KEYS = ("gateway-key-of-acme:acme", "gateway-key-of-beta:beta")
HEADER = "x-arenalab-provider-key"


@dataclass
class Mesh:
    """A running mesh, and all that it shows or keeps."""

    http: httpx.AsyncClient
    providers: dict[str, Provider]
    folder: Path
    ledger: "ledger_grpc.LedgerServiceAsyncStub"
    spans: InMemorySpanExporter
    telemetries: list[Telemetry]
    log: io.StringIO

    async def ask(self, tenant: str = "acme", *keys: str, **members: Any) -> httpx.Response:
        headers = [("authorization", f"Bearer gateway-key-of-{tenant}")]
        headers += [(HEADER, key) for key in keys]
        body = {"messages": [{"role": "user", "content": "How?"}], "user": "u"} | members
        return await self.http.post("/v1/chat/completions", json=body, headers=headers)

    def keys_sent_to(self, provider: str) -> list[str]:
        got = self.providers[provider].got
        return [each.headers.get("authorization", "").removeprefix("bearer ") for each in got]

    async def shown(self) -> list[str]:
        """Returns the logs, the spans, the figures, the files and what the ledger tells."""
        found = [self.log.getvalue()]
        found += [span.to_json() for span in self.spans.get_finished_spans()]
        found += [generate_latest(t.metrics.registry).decode() for t in self.telemetries]
        found += [
            path.read_bytes().decode("latin-1")
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        ]
        scope = scope_pb2.Scope(tenant="acme")
        async for item in self.ledger.Scan(ledger_pb.ScanRequest(scope=scope)):
            index = item.entry.leaf_index
            request = ledger_pb.GetRequest(scope=scope, leaf_index=index)
            found.append(str(await self.ledger.Get(request)))
        return found


@asynccontextmanager
async def running_mesh(folder: Path, **plays: Any) -> AsyncIterator[Mesh]:
    tracing, spans = TracerProvider(), InMemorySpanExporter()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    telemetries: list[Telemetry] = []

    def telemetry(name: str) -> Telemetry:
        made = Telemetry(name)
        made.tracer = tracing.get_tracer(name)
        telemetries.append(made)
        return made

    async with AsyncExitStack() as stack:
        stack.callback(tracing.shutdown)
        predictor = _Predictor()  # type: ignore[abstract]  # what it lacks is UNIMPLEMENTED
        predictor.says["faq"] = _abstains()
        add = predictor_grpc.add_PredictorServiceServicer_to_server
        predictor_at = await stack.enter_async_context(_serving("predictor", add, predictor))
        providers = {name: Provider(play) for name, play in plays.items()}
        for provider in providers.values():
            await stack.enter_async_context(provider.running())
        configs = tuple(
            ProviderConfig(
                name=name,
                base_url=provider.base_url,
                default_model="m",
                api_key=OURS if name == "ours" else None,
                needs_key=True,
            )
            for name, provider in providers.items()
        )
        fallback = await stack.enter_async_context(
            running_fallback(
                FallbackConfig(address="127.0.0.1:0", providers=configs, retry_pause_s=0),
                telemetry("fallback"),
            )
        )
        ledger = await stack.enter_async_context(
            running_ledger(
                LedgerConfig(
                    address="127.0.0.1:0",
                    directory=folder / "ledger",
                    key_path=folder / "ledger.ed25519",
                    create_key=True,
                ),
                telemetry("ledger"),
            )
        )
        ensemble = await stack.enter_async_context(
            running_ensemble(
                EnsembleConfig(
                    address="127.0.0.1:0",
                    predictor_address=predictor_at,
                    fallback_address=f"127.0.0.1:{fallback}",
                    ledger_address=f"127.0.0.1:{ledger}",
                    journal_path=folder / "unsealed.ndjson",
                    predictions_dir=folder / "predictions",
                    audit_rate=1,
                ),
                telemetry("ensemble"),
            )
        )
        kept = folder.parent / f"{folder.name}-kept.json"
        kept.write_text(json.dumps({"acme": {"bring": KEPT}}))
        kept.chmod(0o600)
        gateway = await stack.enter_async_context(
            running_gateway(
                GatewayConfig(
                    port=0,
                    dev=False,
                    api_keys=GATEWAY_KEYS,
                    provider_keys_path=kept,
                    ensemble_address=f"127.0.0.1:{ensemble}",
                    ledger_address=f"127.0.0.1:{ledger}",
                ),
                telemetry("gateway"),
            )
        )
        base_url = f"http://127.0.0.1:{gateway}"
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base_url, timeout=20))
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{ledger}", Telemetry("test")))
        log = stack.enter_context(_logging())
        stub = ledger_grpc.LedgerServiceStub(channel)
        yield Mesh(http, providers, folder, stub, spans, telemetries, log)


class _logging:  # noqa: N801 - used like a function
    """Keeps every log record as a service would write it."""

    def __enter__(self) -> io.StringIO:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(JsonFormatter("mesh"))
        self._root = logging.getLogger()
        self._level = self._root.level
        self._root.addHandler(self._handler)
        self._root.setLevel(logging.DEBUG)
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._root.removeHandler(self._handler)
        self._root.setLevel(self._level)


async def hello(exchange: Exchange) -> None:
    await exchange.stream(*HELLO)


def _error(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


async def test_whose_key_is_sent(tmp_path: Path) -> None:
    async with running_mesh(tmp_path / "mesh", ours=[hello], bring=[hello]) as mesh:
        # The operator's; a caller's instead of it; and the operator's again.
        for keys in ((), (f"ours={SENT}",), ()):
            response = await mesh.ask("acme", *keys, model="ours/m")
            assert response.status_code == 200, response.text
        assert mesh.keys_sent_to("ours") == [OURS, SENT, OURS]
        asked = {"model": "ours/m", "input": "How?"}
        headers = {"authorization": "Bearer gateway-key-of-acme", HEADER: f"ours={SENT}"}
        assert (await mesh.http.post("/v1/responses", json=asked, headers=headers)).is_success
        assert mesh.keys_sent_to("ours")[3:] == [SENT]
        # What is kept for acme; what comes with the call comes first; nobody else has any.
        assert (await mesh.ask("acme", model="bring/m")).status_code == 200
        assert (await mesh.ask("beta", f"bring={SENT}", model="bring/m")).status_code == 200
        assert (await mesh.ask("acme", f"ours=x, bring={SENT}", model="bring/m")).is_success
        lacking = await mesh.ask("beta", model="bring/m")
        malformed = await mesh.ask("beta", "sk-alone", model="bring/m")
        assert mesh.keys_sent_to("bring") == [KEPT, SENT, SENT]
    assert lacking.status_code == 400
    assert _error(lacking)["code"] == "missing_provider_key"
    assert lacking.headers["x-should-retry"] == "false"
    assert malformed.status_code == 400
    assert _error(malformed)["param"] == HEADER
    assert "sk-" not in malformed.text


async def test_a_key_is_in_nothing_that_the_mesh_shows_or_keeps(tmp_path: Path) -> None:
    def echoing(code: int) -> Play:
        async def play(exchange: Exchange) -> None:
            said = f"bad {exchange.headers['authorization'].removeprefix('bearer ')}"
            if code:
                await status(code, said, "retry-after: 60")(exchange)
            else:
                await exchange.stream(f"data: {json.dumps({'error': {'message': said}})}\n\n")

        return play

    plays = [hello, echoing(400), echoing(401), echoing(500), echoing(0)]
    async with running_mesh(tmp_path / "mesh", bring=plays) as mesh:
        answers = [await mesh.ask("acme", f"bring={SENT}", model="bring/m") for _ in plays]
        kept = await mesh.ask("acme", model="arenalab", arenalab={"ledger": "best_effort"})
        shown = await mesh.shown()
        assert set(mesh.keys_sent_to("bring")) == {SENT, KEPT}
    assert [answer.status_code for answer in answers] == [200, 400, 400, 503, 503]
    assert kept.json()["arenalab"]["abstain"]["reason"] == "out_of_scope"
    assert _error(answers[2])["param"] == HEADER
    shown += [answer.text + str(answer.headers) for answer in [*answers, kept]]
    assert any("listening" in each or "httpcore" in each for each in shown)  # logs are there
    assert any('"chat m"' in each for each in shown)  # and spans
    assert any('"conversation"' in each for each in shown)  # and what is sealed
    for key in (SENT, KEPT):
        assert not [each for each in shown if key in each]
