"""The command line, as a person uses it: real processes, real files."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from arenalab.api.common.v1 import answer_pb2, message_pb2
from arenalab.api.ensemble.v1 import ensemble_service_pb2 as pb
from arenalab.api.ensemble.v1 import ensemble_service_pb2_grpc as pb_grpc
from arenalab.local.charts import has_matplotlib
from arenalab.local.cli.app import app
from arenalab.mesh import Telemetry, connect

pytestmark = pytest.mark.slow
BUILTIN = Path(str(resources.files("arenalab.curator.builtin") / "arenalab.ndjson"))
ARENALAB = Path(sys.executable).parent / "arenalab"


def _run(
    home: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB), *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "ARENALAB_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
        | (env or {}),
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the built-in dataset, made by the three commands."""
    home = tmp_path_factory.mktemp("cli") / "home"
    made = _run(home, "init", str(home), env={"XDG_STATE_HOME": str(home.parent)})
    assert made.returncode == 0, made.stderr
    assert "al_" in made.stdout
    read = _run(home, "ingest", str(BUILTIN), "--format", "spans", "--dataset", "help")
    assert read.returncode == 0, read.stderr
    assert "0 rejected" in read.stdout
    served = _run(home, "publish", "help")
    assert served.returncode == 0, served.stderr
    assert "guarantee:" in served.stdout
    return home


@pytest.fixture(scope="module")
def up(published: Path, find_ports: Callable[[int], list[int]]) -> Iterator[Path]:
    """The same home with its mesh up, as `arenalab up` leaves it."""
    [port] = find_ports(1)
    with subprocess.Popen(  # noqa: S603 - our own command
        [str(ARENALAB), "up", "--free-ports", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ARENALAB_HOME": str(published), "NO_COLOR": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "The mesh is up" in line:
                break
        yield published
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_init_keeps_what_is_there(published: Path) -> None:
    key = (published / "keys" / "ledger.ed25519").read_bytes()
    again = _run(published, "init", str(published), env={"XDG_STATE_HOME": str(published.parent)})
    assert again.returncode == 0
    assert "al_" not in again.stdout
    assert (published / "keys" / "ledger.ed25519").read_bytes() == key


def test_ask_shows_the_answer_and_a_verified_receipt(up: Path) -> None:
    asked = _run(up, "ask", "Is one tenant able to look at another tenant's data?")
    assert asked.returncode == 0, asked.stderr
    assert "verified offline" in asked.stdout
    assert "hard filter" in asked.stdout


async def _answer(ensemble: str, question: str) -> pb.AnswerFinished:
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=question)
    async with connect(ensemble, Telemetry("test")) as channel:
        stub = pb_grpc.EnsembleServiceStub(channel)
        events = [one async for one in stub.Answer(pb.AnswerRequest(messages=[message]))]
    return events[-1].finished


def test_questions_that_were_warmed_up_are_answered_from_the_cache(
    up: Path, tmp_path: Path
) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("How do I start the mesh?\n\nWhat is a span?\nWhat is a span?\n")

    def warm(*options: str) -> Result:
        return CliRunner().invoke(app, ["cache", "warm", str(file), *options, "--home", str(up)])

    assert json.loads(warm("--json").stdout) == {"computed": 2, "known": 0}
    assert warm().stdout.startswith("0 outputs computed, 2 were kept already")
    # What the ensemble asks is what was warmed up.
    running = json.loads((up / "run" / "mesh.json").read_text())
    said = asyncio.run(_answer(running["addresses"]["ensemble"], "What is a span?"))
    assert said.cache_layer == answer_pb2.CACHE_LAYER_MEMORY
    assert warm("--creature", "nobody").exit_code == 1
    file.write_text(" \n")
    nothing = warm()
    assert nothing.exit_code == 1
    assert "holds no question" in nothing.stderr


def test_ask_as_json_feeds_ledger_verify(up: Path, tmp_path: Path) -> None:
    asked = _run(up, "ask", "Which wine goes well with grilled salmon?", "--json")
    completion = json.loads(asked.stdout)
    assert completion["arenalab"]["route"] == "abstain"
    file = tmp_path / "answer.json"
    file.write_text(asked.stdout)
    verified = _run(up, "ledger", "verify", "--receipt", str(file))
    assert verified.returncode == 0, verified.stderr
    completion["arenalab"]["receipt"]["leaf_index"] += 1
    file.write_text(json.dumps(completion))
    refused = _run(up, "ledger", "verify", "--receipt", str(file))
    assert refused.returncode == 1
    assert "error:" in refused.stderr


def test_status_names_every_service_and_its_size(up: Path) -> None:
    shown = _run(up, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    status = json.loads(shown.stdout)
    assert {s["health"] for s in status["services"].values()} == {"SERVING"}
    assert len(status["services"]) == 8
    assert status["datasets"][0]["name"] == "help"
    assert status["ledger"]["entries"] >= 1


def test_ingest_reaches_the_running_mesh(up: Path, tmp_path: Path) -> None:
    file = tmp_path / "more.ndjson"
    file.write_text("not json\n" + BUILTIN.read_text().splitlines()[0] + "\n")
    read = _run(up, "ingest", str(file), "--format", "spans", "--dataset", "other", "--json")
    assert read.returncode == 0, read.stderr
    counts = json.loads(read.stdout)
    assert (counts["accepted"], counts["rejected"]) == (1, 1)
    assert counts["reject_file"]


def test_a_second_mesh_on_the_same_home_is_refused(up: Path) -> None:
    second = _run(up, "up", "--free-ports", "--port", "0")
    assert second.returncode == 1
    assert "running from" in second.stderr


def test_the_ledger_verifies_offline(published: Path) -> None:
    checked = _run(published, "ledger", "verify", "--json")
    report = json.loads(checked.stdout)
    assert report["valid"]
    assert report["entries"] >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", "x"), "arenalab up"),
        (("publish", "nothing"), "nothing"),
        (("ingest", str(BUILTIN), "--format", "clinc150"), "INVALID_FORMAT"),
        (("index",), "no dataset is published yet"),
        (("index", "--write"), "no dataset is published yet"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_1(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    home = tmp_path / "home"
    _run(home, "init", str(home), env={"XDG_STATE_HOME": str(tmp_path)})
    result = _run(home, *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_home_the_way_to_one_is_shown(tmp_path: Path) -> None:
    result = _run(tmp_path / "none", "status")
    assert result.returncode == 1
    assert "arenalab init" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((b"ask", b"\xff"), b"question"),
        ((b"explain", b"\xff"), b"question"),
        ((b"explain", b"x", b"--domain", b"\xff"), b"domain"),
        ((b"explain", b"x", b"--dataset", b"\xff"), b"dataset"),
        ((b"spans", b"show", b"\xff"), b"ids"),
        ((b"init", b"\xff"), b"directory"),
        ((b"status", b"--home", b"\xff"), b"home"),
    ],
)
def test_an_argument_that_is_no_text_is_one_line(
    tmp_path: Path, arguments: tuple[bytes, ...], name: bytes
) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB).encode(), *arguments],
        capture_output=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "ARENALAB_HOME": str(tmp_path), "NO_COLOR": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [b"error: " + name + b": not UTF-8 text (INVALID_ARGUMENT)"]
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB), "status"],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environb, b"ARENALAB_HOME": bytes(tmp_path) + b"/\xff"},
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_risk_coverage_is_a_table_a_curve_and_a_folder(up: Path, tmp_path: Path) -> None:
    shown = _run(up, "risk-coverage", "help", "--groups", "--out", str(tmp_path / "new"))
    assert shown.returncode == 0, shown.stderr
    for part in ("high_probability", "expectation", "+5 points", "risk by coverage", "by domain"):
        assert part in shown.stdout
    report = json.loads((tmp_path / "new/risk_coverage.json").read_text())
    assert len(report["rows"]) == 8
    if has_matplotlib():
        assert (tmp_path / "new/risk_coverage.png").read_bytes().startswith(b"\x89PNG")
    else:
        assert "pip install 'arenalab[eval]'" in shown.stderr


def test_risk_coverage_prints_one_object(up: Path) -> None:
    asked = ("--alpha", "0.2", "--alpha", "0.05", "--kind", "expectation", "--fallback-cost", "1")
    shown = _run(up, "risk-coverage", *asked, "--json")
    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert report["dataset"] == "help"
    assert [(row["alpha"], row["kind"]) for row in report["rows"]] == [
        (0.05, "expectation"),
        (0.2, "expectation"),
    ]
    for row in report["rows"]:
        assert row["bound"] <= row["alpha"]
        assert row["coverage"] == row["served"] / row["calibration_size"]
        assert row["saved_usd_per_thousand"] == pytest.approx(1_000 * row["coverage"], abs=1e-6)
    assert report["points"][-1]["served"] <= report["calibration_size"]
    assert report["limits"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "there is no creature 'nobody'"),
        (("--alpha", "0.7"), "alphas[0] must be in (0, 0.5]"),
        (("--fallback-cost", "-1"), "fallback-cost must be in [0, 1000]"),
    ],
)
def test_what_has_no_curve_is_one_line(up: Path, arguments: tuple[str, ...], message: str) -> None:
    refused = _run(up, "risk-coverage", *arguments)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
