"""The root of the command line."""

import typer

from arenalab.local.cli import (
    asking,
    caching,
    data,
    demo,
    evaluation,
    explain,
    guarantee,
    keys,
    ledger,
    ledger_entries,
    ledger_erase,
    ledger_keys,
    ledger_logs,
    ledger_replay,
    ledger_spans,
    prices,
    risk_coverage,
    serving,
    spans,
)

app = typer.Typer(
    name="arenalab",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Answers from curated outcomes, with a guarantee and a receipt.",
)
app.command("init")(data.init)
app.command("ingest")(data.ingest)
app.command("publish")(data.publish)
app.command("up")(serving.up)
app.command("status")(serving.status)
app.command("ask")(asking.ask)
app.command("demo")(demo.demo)
app.command("eval")(evaluation.evaluate)
app.command("risk-coverage")(risk_coverage.risk_coverage)
app.command("explain")(explain.explain)
app.command("guarantee")(guarantee.guarantee)
app.command("audits")(guarantee.audits)
app.command("feedback")(guarantee.feedback)
app.command("recalibrate")(guarantee.recalibrate)
app.command("index")(spans.index)
app.command("local-llm")(serving.local_llm)
ledger.app.command("show")(ledger_entries.show)
ledger.app.command("receipt")(ledger_entries.receipt)
ledger.app.command("scan")(ledger_entries.scan)
ledger.app.command("trace")(ledger_entries.trace)
ledger.app.command("affected")(ledger_spans.affected)
ledger.app.command("supersede")(ledger_spans.supersede)
ledger.app.command("replay")(ledger_replay.replay)
ledger.app.command("erase")(ledger_erase.erase)
ledger.app.command("checkpoint")(ledger_logs.checkpoint)
ledger.app.command("export")(ledger_logs.export)
ledger.app.command("logs")(ledger_logs.logs)
ledger.app.command("keys")(ledger_keys.keys)
ledger.app.command("rotate-key")(ledger_keys.rotate_key)
app.add_typer(caching.app, name="cache", help="Outputs that are kept for repeated questions.")
app.add_typer(keys.app, name="keys", help="API keys of the gateway: make, list and end them.")
app.add_typer(ledger.app, name="ledger", help="What was said, and its proof.")
app.add_typer(prices.app, name="prices", help="What providers' tokens cost.")
app.add_typer(spans.app, name="spans", help="The spans that are served: show and change them.")
