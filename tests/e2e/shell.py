"""Commands on a mesh of a test's own, as somebody types them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from typer.testing import CliRunner, Result

from arenalab.fallback.config import ProviderConfig
from arenalab.local.cli.app import app
from arenalab.local.configs import Settings
from arenalab.local.home import Home, Running
from tests.mesh.scripted_provider import HELLO

Start = Callable[[Home, Settings], AbstractContextManager[Running]]


@dataclass(frozen=True)
class Shell:
    """A home with its mesh up."""

    home: Home
    running: Running

    def run(self, *arguments: str, stdin: str = "") -> Result:
        """Runs a command on the home."""
        return CliRunner().invoke(app, [*arguments, "--home", str(self.home.path)], input=stdin)

    def json(self, *arguments: str) -> Any:
        """Runs a command that ends well; returns its one JSON object."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, (result.stdout, result.stderr)
        return json.loads(result.stdout)

    def lines(self, *arguments: str) -> list[Any]:
        """Runs a command that ends well; returns its JSON objects, one a line."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, (result.stdout, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def ask(
        self, question: str, *, headers: dict[str, str] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Returns the completion of a question."""
        response = httpx.post(
            f"{self.running.gateway}/v1/chat/completions",
            json={
                "model": "arenalab",
                "messages": [{"role": "user", "content": question}],
                **fields,
            },
            headers=headers or {},
            timeout=30,
        )
        response.raise_for_status()
        completion: dict[str, Any] = response.json()
        return completion


class _Provider(BaseHTTPRequestHandler):
    """A provider that streams the same words to everybody."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write("".join(HELLO).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Says nothing."""


@contextmanager
def running_provider() -> Iterator[ProviderConfig]:
    """Runs a fallback provider for the length of the block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield ProviderConfig(
            name="local", base_url=f"http://127.0.0.1:{server.server_port}/v1", default_model="tiny"
        )
        server.shutdown()
        thread.join()


@contextmanager
def shell_on(
    home: Home,
    start: Start,
    *,
    providers: tuple[ProviderConfig, ...] = (),
    audit_rate: float = 0.0,
) -> Iterator[Shell]:
    """Runs a home's mesh for the length of the block."""
    settings = replace(
        Settings.of(home, {}), otlp_endpoint=None, providers=providers, audit_rate=audit_rate
    )
    with home.locked(), start(home, settings) as running, home.announced(running):
        yield Shell(home, running)
