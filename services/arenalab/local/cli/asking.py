"""`arenalab ask`: one question through the gateway."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from arenalab.local.cli.answers import show_answer
from arenalab.local.cli.console import HomeOption, JsonOption, command, home_from, out
from arenalab.local.keys import log_public_keys
from arenalab.local.session import need_running
from arenalab.mesh import MeshError, NotReadyError

TIMEOUT_S: Final = 130.0


@command
async def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    *,
    model: Annotated[str, typer.Option(help="Which model answers.")] = "arenalab",
    api_key: Annotated[
        str, typer.Option(envvar="ARENALAB_API_KEY", help="Needed beyond loopback.")
    ] = "",
    receipt: Annotated[Path | None, typer.Option(help="Write the receipt to this file.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Ask one question, and show what vouches for the answer."""
    found = home_from(home)
    before_s = time.perf_counter()
    async with gateway_client(need_running(found).gateway) as client:
        completion = await complete(client, question, model, api_key)
    elapsed_ms = (time.perf_counter() - before_s) * 1e3
    if receipt is not None:
        _write_receipt(receipt, completion)
    if as_json:
        out.print_json(data=completion)
        return
    wrong = show_answer(completion, log_public_keys(found), elapsed_ms=elapsed_ms)
    if wrong:
        raise typer.Exit(1)


def gateway_client(url: str) -> httpx.AsyncClient:
    """Returns an HTTP client of the gateway; a proxy of the environment is not for it."""
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False)


async def complete(
    client: httpx.AsyncClient, question: str, model: str = "arenalab", api_key: str = ""
) -> dict[str, Any]:
    """Returns the chat completion of one question.

    Raises:
        NotReadyError: The gateway cannot be reached.
        MeshError: The gateway refused; the message is the gateway's.
    """
    try:
        response = await client.post(
            "/v1/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": question}]},
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        )
    except httpx.HTTPError as error:
        raise NotReadyError(
            f"the gateway at {client.base_url} cannot be reached: {error}"
        ) from error
    if response.is_error:
        raise MeshError(f"HTTP {response.status_code}: {_message(response)}")
    body: dict[str, Any] = response.json()
    return body


def _message(response: httpx.Response) -> str:
    # Something else may listen there, or stand in between, and speak no JSON.
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return response.text[:200]


def _write_receipt(path: Path, completion: dict[str, Any]) -> None:
    import json

    path.write_text(json.dumps(completion["arenalab"]["receipt"], indent=2) + "\n")
