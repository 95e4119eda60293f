"""Bad input to the whole mesh: each gets its own error, and nothing is lost."""

import json
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from arenalab.api.common.v1 import message_pb2, span_pb2
from arenalab.api.curator.v1 import curator_service_pb2 as curator_pb
from arenalab.api.curator.v1 import curator_service_pb2_grpc as curator_grpc
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as ensemble_pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as ensemble_grpc
from arenalab.api.ledger.v1 import ledger_service_pb2 as ledger_pb
from arenalab.api.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from arenalab.api.predictor.v1 import predictor_service_pb2 as predictor_pb
from arenalab.api.predictor.v1 import predictor_service_pb2_grpc as predictor_grpc
from arenalab.api.search.v1 import search_service_pb2 as search_pb
from arenalab.api.search.v1 import search_service_pb2_grpc as search_grpc
from arenalab.ledger.verify import verify_directory
from arenalab.local.configs import FREE_ADDRESSES, Configs, Settings, free_addresses
from arenalab.local.home import Home, Running
from arenalab.local.keys import log_public_key
from arenalab.local.onehost import Ports, running_mesh
from arenalab.local.processes import running_processes
from arenalab.mesh import ConfigError, NotReadyError, PreconditionError, Reason

pytestmark = pytest.mark.slow
QUESTION = "Which port has the gateway?"
ARENALAB = Path(sys.executable).parent / "arenalab"
StartMesh = Callable[[Home, Settings], AbstractContextManager[Running]]


def _turns(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def _body(**changes: object) -> bytes:
    return json.dumps({"model": "arenalab", "messages": _turns(QUESTION)} | changes).encode()


def _post(url: str, body: bytes) -> httpx.Response:
    return httpx.post(
        f"{url}/v1/chat/completions",
        content=body,
        headers={"content-type": "application/json"},
        timeout=30,
    )


def _entries(running: Running) -> int:
    with grpc.insecure_channel(running.addresses["ledger"]) as channel:
        stub = ledger_grpc.LedgerServiceStub(channel)
        return stub.GetCheckpoint(ledger_pb.GetCheckpointRequest(), timeout=10).tree_size


def _refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """Returns the status and the reason with which a call of a stub is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        list(made) if hasattr(made := call(), "__next__") else made
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return caught.value.code().name, info.reason


def _ask(running: Running, *contents: str, **fields: Any) -> Any:
    turns = [message_pb2.Message(role=message_pb2.ROLE_USER, content=c) for c in contents]
    request = ensemble_pb.AnswerRequest(messages=turns, **fields)
    with grpc.insecure_channel(running.addresses["ensemble"]) as channel:
        return list(ensemble_grpc.EnsembleServiceStub(channel).Answer(request, timeout=30))


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_json", None),
        (b'{"model":', 400, "invalid_json", None),
        (_body().replace(b"Which", b"\xff"), 400, "invalid_json", None),
        (_body(messages=_turns("a" * 10_000_000)), 413, "request_too_large", None),
        (_body(messages=[]), 400, "empty_array", "messages"),
        (_body(messages=_turns(" \n")), 400, "invalid_value", "messages[0].content"),
        (_body(messages=_turns(4)), 400, "invalid_type", "messages[0].content"),
        (_body(messages=_turns("a" * 300_000)), 400, "string_above_max_length", None),
        (_body(model=5), 400, "invalid_type", "model"),
        (_body(model="gpt-99"), 404, "model_not_found", "model"),
        (_body(model="arenalab/nothing"), 404, "model_not_found", "model"),
        (_body(model="openai/gpt-4o"), 404, "model_not_found", "model"),
        (_body(stream=True, model="gpt-99"), 404, "model_not_found", "model"),
        (_body(arenalab={"alhpa": 0.1}), 400, "unknown_parameter", "arenalab.alhpa"),
    ],
    ids=[
        "empty body",
        "invalid JSON",
        "invalid UTF-8",
        "ten megabytes",
        "no message",
        "blank message",
        "wrong type of message",
        "huge message",
        "wrong type of model",
        "unknown model",
        "unknown dataset",
        "unknown provider",
        "unknown model of a stream",
        "unknown field of ours",
    ],
)
def test_http_says_what_is_wrong_and_seals_nothing(
    mesh: Any, body: bytes, status: int, code: str, param: str | None
) -> None:
    sealed = _entries(mesh.running)
    response = _post(mesh.url, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["type"] == "invalid_request_error"
    assert set(error) == {"message", "type", "param", "code"}
    assert param is None or error["param"] == param
    assert _entries(mesh.running) == sealed


def test_an_unknown_field_of_openai_is_passed_over(mesh: Any) -> None:
    assert _post(mesh.url, _body(never_heard_of=1)).status_code == 200


@pytest.mark.parametrize(
    ("contents", "fields", "refusal"),
    [
        ((), {}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        ((" \n",), {}, ("INVALID_ARGUMENT", "EMPTY_TEXT")),
        (("\u200b",), {}, ("INVALID_ARGUMENT", "EMPTY_TEXT")),
        (("a" * 10_000_000,), {}, ("INVALID_ARGUMENT", "TOO_LARGE")),
        ((QUESTION,), {"model": "gpt-99"}, ("NOT_FOUND", "UNKNOWN_MODEL")),
        (
            (QUESTION,),
            {"context": span_pb2.SpanContext(stakes=99)},  # type: ignore[arg-type]
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ),
    ],
    ids=["no message", "blank", "invisible", "ten megabytes", "unknown model", "unknown enum"],
)
def test_the_stub_says_what_is_wrong_and_seals_nothing(
    mesh: Any, contents: tuple[str, ...], fields: dict[str, Any], refusal: tuple[str, str]
) -> None:
    sealed = _entries(mesh.running)
    assert _refusal(lambda: _ask(mesh.running, *contents, **fields)) == refusal
    assert _entries(mesh.running) == sealed


def test_a_span_that_breaks_the_schema_is_refused_with_all_of_its_batch(mesh: Any) -> None:
    with grpc.insecure_channel(mesh.running.addresses["search"]) as channel:
        search = search_grpc.SearchServiceStub(channel)
        stats = search_pb.StatsRequest(dataset="help")
        before = search.Stats(stats, timeout=10).collection.spans
        good = search.SearchText(search_pb.SearchTextRequest(text=QUESTION, limit=1)).hits[0].span
        good.id = good.id[:-4] + "ffff"
        batch = search_pb.AddSpansRequest(dataset="help", spans=[good, span_pb2.Span(this="x")])
        refusal = _refusal(lambda: search.AddSpans(batch, timeout=10))
        assert refusal == ("INVALID_ARGUMENT", "INVALID_SPAN")
        assert search.Stats(stats, timeout=10).collection.spans == before


@pytest.mark.parametrize(
    ("dataset", "staging", "refusal"),
    [
        ("help", "../../keys", ("INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        ("../keys", f".staging-{0:016x}", ("INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        ("help", f".staging-{0:016x}", ("NOT_FOUND", "UNKNOWN_DATASET")),
    ],
)
def test_training_stays_inside_the_datasets(
    mesh: Any, dataset: str, staging: str, refusal: tuple[str, str]
) -> None:
    with grpc.insecure_channel(mesh.running.addresses["predictor"]) as channel:
        train = predictor_grpc.PredictorServiceStub(channel).TrainCalibration
        request = predictor_pb.TrainCalibrationRequest(dataset=dataset, staging=staging)
        assert _refusal(lambda: train(request, timeout=30)) == refusal


@pytest.mark.parametrize(
    ("creature", "second", "refusal"),
    [
        ("", {"header": predictor_pb.CalibrateHeader()}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT")),
        (
            "",
            {"example": predictor_pb.LabelledQuestion(question=" ")},
            ("INVALID_ARGUMENT", "EMPTY_TEXT"),
        ),
        (
            "nobody",
            {"example": predictor_pb.LabelledQuestion(question=QUESTION)},
            ("NOT_FOUND", "UNKNOWN_MODEL"),
        ),
    ],
)
def test_a_calibration_that_goes_wrong_half_way_says_why(
    mesh: Any, creature: str, second: dict[str, Any], refusal: tuple[str, str]
) -> None:
    header = predictor_pb.CalibrateHeader(creature=creature)
    parts = [
        predictor_pb.CalibrateRequest(header=header),
        predictor_pb.CalibrateRequest(**second),
    ]
    with grpc.insecure_channel(mesh.running.addresses["predictor"]) as channel:
        calibrate = predictor_grpc.PredictorServiceStub(channel).Calibrate
        assert _refusal(lambda: calibrate(iter(parts), timeout=30)) == refusal


@pytest.mark.parametrize(
    ("file_format", "data"),
    [
        (curator_pb.INGEST_FORMAT_SPANS, b""),
        (curator_pb.INGEST_FORMAT_SPANS, b"\0\0\0"),
        (curator_pb.INGEST_FORMAT_QA_CSV, b"A,B\n1,2\n"),
        (curator_pb.INGEST_FORMAT_CLINC150, b'{"train":[["a","b"],["c'),
        (curator_pb.INGEST_FORMAT_STACKFAQ, b'{"root":{"qapair":[{"quest'),
    ],
    ids=["empty", "NUL bytes", "missing columns", "torn CLINC150", "torn StackFAQ"],
)
def test_a_file_of_another_format_leaves_no_dataset(
    mesh: Any, file_format: curator_pb.IngestFormat.ValueType, data: bytes
) -> None:
    header = curator_pb.IngestHeader(dataset="broken", format=file_format)
    parts = [curator_pb.IngestRequest(header=header), curator_pb.IngestRequest(chunk=data)]
    with grpc.insecure_channel(mesh.running.addresses["curator"]) as channel:
        curator = curator_grpc.CuratorServiceStub(channel)
        refusal = _refusal(lambda: curator.Ingest(iter(parts), timeout=10))
        assert refusal == ("INVALID_ARGUMENT", "INVALID_FORMAT")
        listed = curator.ListDatasets(curator_pb.ListDatasetsRequest(), timeout=10).datasets
        assert not any(d.name == "broken" and d.working_spans for d in listed)


def test_a_full_disk_withholds_the_answer_and_the_next_one_is_sealed(mesh: Any) -> None:
    assert _post(mesh.url, _body()).status_code == 200
    ledger = mesh.home.path / "ledger"
    sealed = _entries(mesh.running)
    with _disk_full_at((ledger / "00000000.ndjson").stat().st_size + 100):
        refused = _post(mesh.url, _body())
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "storage_full"
    assert "File too large" in refused.json()["error"]["message"]
    assert _entries(mesh.running) == sealed
    assert _post(mesh.url, _body()).status_code == 200
    assert _entries(mesh.running) == sealed + 1
    assert verify_directory(ledger, mesh.public_key).valid


@contextmanager
def _disk_full_at(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def stopped(
    start_mesh: StartMesh,
    published_home: Callable[[str], Home],
) -> Home:
    """A home with the built-in dataset and a few answers, whose mesh does not run."""
    home = published_home("stopped")
    with start_mesh(home, Settings.of(home, {})) as running:
        for _ in range(3):
            assert _post(running.gateway, _body()).status_code == 200
    return home


@contextmanager
def _damaged(path: Path, data: bytes) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)


def _dataset_file(home: Home, name: str) -> Path:
    [path] = (home.path / "datasets" / "default" / "help").glob(f"*/{name}")
    return path


def test_a_tampered_ledger_line_stops_answers_until_it_is_undone(
    stopped: Home, start_mesh: StartMesh
) -> None:
    segment = stopped.path / "ledger" / "00000000.ndjson"
    forged = segment.read_bytes().replace(b"memory", b"forged", 1)
    settings = Settings.of(stopped, {})
    key = log_public_key(stopped)
    with _damaged(segment, forged), start_mesh(stopped, settings) as running:
        assert not verify_directory(stopped.path / "ledger", key).valid
        refused = _post(running.gateway, _body())
        assert refused.status_code == 500
        assert refused.json()["error"]["code"] == "data_loss"
        assert "damaged" in refused.json()["error"]["message"]
        assert segment.read_bytes() == forged
    with start_mesh(stopped, settings) as running:
        assert _post(running.gateway, _body()).status_code == 200
    assert verify_directory(stopped.path / "ledger", key).valid


def test_a_corrupted_dataset_file_is_never_answered_from(
    stopped: Home, start_mesh: StartMesh
) -> None:
    spans = _dataset_file(stopped, "spans.ndjson.zst")
    version = spans.parent.name
    settings = Settings.of(stopped, {})
    with (
        _damaged(spans, spans.read_bytes()[:-1]),
        start_mesh(stopped, settings) as running,
        grpc.insecure_channel(running.addresses["search"]) as channel,
    ):
        publish = search_grpc.SearchServiceStub(channel).Publish
        request = search_pb.PublishRequest(dataset="help", dataset_version=version)
        refusal = _refusal(lambda: publish(request, timeout=30))
        assert refusal == ("DATA_LOSS", "CORRUPT_DATASET")
        refused = _post(running.gateway, _body(model="arenalab/memory-only"))
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (500, "data_loss")
    with start_mesh(stopped, settings) as running:
        assert _post(running.gateway, _body()).json()["arenalab"]["route"] == "memory"


async def test_a_missing_ledger_key_stops_the_start(tmp_path: Path) -> None:
    home, _ = Home.create(tmp_path)
    home.ledger_key.unlink()
    with pytest.raises(PreconditionError, match=r"ledger\.ed25519") as caught:
        await _start(home, Settings.of(home, {}))
    assert caught.value.reason is Reason.MISSING_KEY


async def test_an_embedder_that_is_none_stops_the_start(tmp_path: Path) -> None:
    home, _ = Home.create(tmp_path)
    with pytest.raises(ConfigError, match="word2vec"):
        await _start(home, replace(Settings.of(home, {}), embedder="word2vec"))


async def _start(home: Home, settings: Settings) -> None:
    async with running_mesh(Configs(home, settings), Ports(FREE_ADDRESSES, gateway=0)):
        pass


def test_a_dataset_of_another_embedder_is_never_answered_from(
    stopped: Home, start_mesh: StartMesh
) -> None:
    store = stopped.path / "search" / "spans.sqlite"
    with _damaged(store, store.read_bytes()):
        with closing(sqlite3.connect(store)) as database, database:
            database.execute("UPDATE collections SET embedder_digest = 'other'")
        with start_mesh(stopped, Settings.of(stopped, {})) as running:
            refused = _post(running.gateway, _body(model="arenalab/memory-only"))
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (503, "embedder_mismatch")


def test_a_taken_port_of_the_gateway_is_named(stopped: Home, mesh: Any) -> None:
    port = mesh.url.rpartition(":")[2]
    refused = _up(stopped, "--free-ports", "--port", port)
    assert refused.returncode == 1
    assert f"{port}: the port is taken" in refused.stderr


@pytest.mark.parametrize("taken", ["gateway", "search"])
async def test_processes_are_not_started_on_a_taken_port(
    stopped: Home, mesh: Any, find_ports: Callable[[int], list[int]], taken: str
) -> None:
    addresses, [gateway] = free_addresses(), find_ports(1)
    if taken == "gateway":
        gateway = int(mesh.url.rpartition(":")[2])
    else:
        addresses[taken] = mesh.running.addresses[taken]
    configs = Configs(stopped, Settings.of(stopped, {}))
    with pytest.raises(NotReadyError, match=f"{taken}: .* the port is taken"):
        async with running_processes(configs, gateway, addresses):
            pass


def _up(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB), "up", *arguments, "--home", str(home.path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (b"[gatway]\nport = 1\n", "unknown section 'gatway'"),
        (b"[gateway]\nprot = 1\n", "unknown setting 'gateway.prot'"),
        (b"gateway = 5\n", r"gateway must be a section"),
        (b'[gateway]\nport = "x"\n', "gateway.port must be int"),
        (b"[guarantee]\nalpha = 2\n", r"guarantee.alpha must be in \(0, 0.5\]"),
        (b"\xff\xfe", "utf-8"),
        (b"[gateway\n", "arenalab.toml"),
        (b'[providers.a]\nbase_url = "http://x/v1"\n', "providers.a.model must be set"),
        (
            b'[providers.a]\nbase_url = "http://x/v1"\nmodel = "m"\nkey_evn = "K"\n',
            "unknown setting 'key_evn'",
        ),
        (b'[providers.a]\nbase_url = "http://x/v1"\nmodel = 5\n', "providers.a.model must be str"),
    ],
)
def test_a_mistake_in_the_settings_is_named(tmp_path: Path, settings: bytes, message: str) -> None:
    home, _ = Home.create(tmp_path)
    home.settings_path.write_bytes(settings)
    with pytest.raises(ConfigError, match=message):
        Settings.of(home, {})


def test_a_question_that_is_no_text_is_one_line(mesh: Any) -> None:
    asked = subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB).encode(), b"ask", b"\xff", b"--home", str(mesh.home.path).encode()],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert asked.returncode == 1
    assert b"not UTF-8" in asked.stderr
    assert b"Traceback" not in asked.stderr
