"""`arenalab prices`: from a list that a server has to the table that the fallback reads."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from arenalab.fallback.price_file import read_file
from arenalab.fallback.prices import Price
from arenalab.local.cli.app import app

LITELLM = {
    "gpt-4o-mini": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": 1.5e-07,
        "output_cost_per_token": 6e-07,
        "cache_read_input_token_cost": 7.5e-08,
    }
}
OPENROUTER = {
    "data": [
        {
            "id": "openai/gpt-4o-mini",
            "pricing": {
                "prompt": "0.00000015",
                "completion": "0.0000006",
                "input_cache_read": "0.000000075",
            },
        }
    ]
}
MINI = Price(input=150_000, output=600_000, cached_input=75_000)


class Handler(BaseHTTPRequestHandler):
    pages: dict[str, Any] = {"/litellm": LITELLM, "/openrouter": OPENROUTER, "/other": {"a": 1}}  # noqa: RUF012

    def do_GET(self) -> None:
        page = self.pages.get(self.path)
        self.send_response(200 if page else 404)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["prices", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.parametrize("page", ["litellm", "openrouter"])
def test_a_published_list_becomes_the_table(server: str, page: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    code, said = run("refresh", "--url", f"{server}/{page}", "--table", path)
    assert code == 0, said
    table = read_file(path)
    assert table.find("openai", "gpt-4o-mini") == MINI
    assert table.source == f"{server}/{page}"
    assert len(table.as_of) == len("2026-11-28")
    code, said = run("show", "gpt-*", "--table", path)
    assert code == 0
    assert "0.15" in said
    assert table.as_of in said


def test_a_list_may_come_from_a_file(tmp_path: Path) -> None:
    given = tmp_path / "list.json"
    given.write_text(json.dumps(LITELLM))
    code, _ = run("refresh", "--file", given, "--table", tmp_path / "prices.json")
    assert code == 0
    code, said = run("show", "--table", tmp_path / "prices.json", "--json")
    assert json.loads(said)["models"][0]["model"] == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("page", "said"), [("other", "no prices that are"), ("absent", "status 404")]
)
def test_what_is_no_list_leaves_the_table_as_it_was(
    server: str, page: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "prices.json"
    run("refresh", "--url", f"{server}/litellm", "--table", path)
    before = path.read_bytes()
    code, output = run("refresh", "--url", f"{server}/{page}", "--table", path)
    assert code == 1
    assert said in " ".join(output.split())
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["prices.json"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "nothing", "http://[/"])
def test_what_cannot_be_fetched_is_told(url: str, tmp_path: Path) -> None:
    code, output = run("refresh", "--url", url, "--table", tmp_path / "prices.json")
    assert code == 1
    assert "cannot be fetched" in " ".join(output.split())


def test_a_home_without_a_table_has_the_prices_that_came_with_the_program(tmp_path: Path) -> None:
    (tmp_path / "arenalab.toml").write_text("")
    code, said = run("show", "gpt-4o-mini", "--home", tmp_path)
    assert code == 0
    assert "0.15" in said
    assert "genai-prices" in said
