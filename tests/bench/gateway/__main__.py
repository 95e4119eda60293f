"""The gateway beside the LiteLLM proxy, in one run: `make bench-gateway`.

Both stand in front of one provider, a stub with fixed answers that runs as a process of its
own. One client, also a process, asks each in turn, in rounds whose order changes, so that
what else the machine does falls on all alike. Figures are medians over the rounds. Every
answer of the mesh is sealed in the ledger: one without a receipt counts as an error.

LiteLLM answers the same questions again and again from its local cache; the mesh is measured
with the same questions ("repeated") and with questions that nobody asked before ("new").
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from arenalab.fallback.config import ProviderConfig
from arenalab.local.home import Home
from tests.bench.gateway.cases import REPEATED, Case, Side, cases
from tests.bench.gateway.figures import figures_of, show
from tests.bench.gateway.litellm_proxy import installed, running_proxy
from tests.bench.gateway.load import Client, Job, running_client
from tests.bench.gateway.processors import processor_of
from tests.stub_provider import MODEL, running_stub
from tests.whole_mesh import Corpus, clinc150, whole_mesh

CLIENTS: Final = (1, 16, 64)
_WARM_S: Final = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--workers", type=int, default=1, help="processes of the LiteLLM proxy")
    parser.add_argument("--litellm", type=Path, help="its program; by default it is installed")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--json", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    program = options.litellm or installed()
    with tempfile.TemporaryDirectory(prefix="arenalab-bench-") as folder:
        measured = asyncio.run(_measure(Path(folder), program, options))
    figures = _facts(options) | figures_of(measured)
    show(measured, figures)
    line = json.dumps(figures)
    if options.json:
        options.json.write_text(line + "\n")
    print(line)
    if errors := [error for case in measured for error in case.errors()]:
        print(*errors, sep="\n", file=sys.stderr)
        raise SystemExit(1)


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "litellm_workers": options.workers,
    }


async def _measure(folder: Path, program: Path, options: argparse.Namespace) -> list[Case]:
    corpus = clinc150()
    with ExitStack() as stack:
        stub = stack.enter_context(running_stub())
        litellm = stack.enter_context(running_proxy(program, folder, stub, options.workers))
        client = stack.enter_context(running_client())
        provider = ProviderConfig(name="stub", base_url=stub, default_model=MODEL)
        home, _ = Home.create(folder / "home")
        async with whole_mesh(home, corpus, (provider,)) as running:
            mesh = f"{running.gateway}/v1"
            found = cases(
                mesh=Side(url=mesh, processor_s=processor_of("-m", "arenalab.")),
                litellm=Side(url=litellm, processor_s=processor_of("litellm.json")),
                stub=Side(url=stub, processor_s=processor_of("tests.stub_provider")),
                corpus=corpus,
                known=await asyncio.to_thread(_known, client, mesh, corpus),
            )
            found = [case for case in found if case.name.startswith(options.only)]
            await asyncio.to_thread(_rounds, client, found, options)
    return found


def _known(client: Client, mesh: str, corpus: Corpus) -> list[str]:
    """Returns questions that memory answers."""
    known: list[str] = []
    for text in corpus.known:
        body = {"model": "arenalab/memory-only", "messages": [{"role": "user", "content": text}]}
        job = Job(url=f"{mesh}/chat/completions", bodies=[json.dumps(body)], clients=1, seconds=30)
        if client.run(job).routes.get("memory"):
            known.append(text)
        if len(known) == REPEATED:
            return known
    raise RuntimeError(f"memory answers {len(known)} of {len(corpus.known)} questions only")


def _rounds(client: Client, found: Sequence[Case], options: argparse.Namespace) -> None:
    for case in found:
        case.measure(client, 4, _WARM_S, keep=False)
    for number in range(options.rounds):
        began_s = time.perf_counter()
        for clients in options.clients:
            # Who comes first changes with the round.
            for case in (*found[number % len(found) :], *found[: number % len(found)]):
                case.measure(client, clients, options.seconds)
        took_s = time.perf_counter() - began_s
        print(f"round {number + 1} of {options.rounds}: {took_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
