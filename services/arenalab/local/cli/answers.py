"""An answer as it is shown: the text, and everything that vouches for it."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from arenalab.local.cli.console import out
from arenalab.proof import ReceiptError, receipt_from_json, verify_content, verify_receipt


def check_receipt(answer: Mapping[str, Any], text: str, public_keys: Sequence[str]) -> str | None:
    """Verifies offline that `text` is sealed in the log; returns what is wrong, or None.

    Args:
        answer: The `arenalab` object of a completion.
        text: What was said.
        public_keys: The log's verifier keys, as known beforehand.
    """
    receipt = answer.get("receipt")
    if not receipt:
        return "the answer carries no receipt"
    try:
        read = receipt_from_json(receipt)
        verify_receipt(read, public_keys)
        verify_content(read, base64.b64decode(answer["content_salt"]), "answer", text)
    except (ReceiptError, ValueError) as error:
        return str(error)
    return None


def show_answer(
    completion: Mapping[str, Any],
    public_keys: Sequence[str],
    *,
    elapsed_ms: float,
    evidence: int = 3,
) -> str | None:
    """Prints one chat completion for people; returns what is wrong with its receipt, or None."""
    answer = completion["arenalab"]
    text = completion["choices"][0]["message"]["content"]
    out.print(f"[bold]{_plain(text)}[/bold]")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("confidence", f"{answer['confidence']:.3f}   method {answer['method']}")
    facts.add_row("route", _route(answer))
    facts.add_row("guarantee", _guarantee(answer))
    for n, item in enumerate(answer.get("evidence", [])[:evidence]):
        label = "evidence" if n == 0 else ""
        facts.add_row(label, f"{item['similarity']:.2f}  {_plain(item['question'])}")
    facts.add_row("prediction", str(answer["prediction_id"]))
    facts.add_row("latency", f"{elapsed_ms:.1f} ms")
    wrong = check_receipt(answer, text, public_keys)
    facts.add_row("receipt", _receipt(answer, wrong))
    out.print(facts)
    return wrong


def _route(answer: Mapping[str, Any]) -> str:
    abstain = answer.get("abstain")
    if not abstain:
        return str(answer["route"])
    return f"{answer['route']}   memory abstained: {abstain['reason']}"


def _guarantee(answer: Mapping[str, Any]) -> str:
    guarantee = answer.get("guarantee") or {}
    status = guarantee.get("status") or "none"
    if status in ("none", "unspecified") or guarantee.get("threshold") is None:
        return "none for this answer"
    how = f"with confidence {1 - guarantee['delta']:.0%}"
    if guarantee.get("kind") == "expectation":
        how = "on average"
    whose = f" in {guarantee['group']}" if guarantee.get("group") else ""
    return (
        f"{status}: at most {guarantee['alpha']:.3g} of served answers{whose} wrong, {how}; "
        f"served at ≥ {guarantee['threshold']:.3f}"
    )


def _receipt(answer: Mapping[str, Any], wrong: str | None) -> str:
    if wrong:
        return f"[bold red]does not verify: {_plain(wrong)}[/bold red]"
    return f"leaf {answer['receipt']['leaf_index']}, [green]verified offline[/green]"


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
