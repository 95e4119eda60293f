"""What the gateway's benchmark measured: a table, its targets, and one JSON object."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.gateway.cases import Case
from tests.bench.gateway.load import Outcome

_WIDTH: Final = 118


class Target(NamedTuple):
    """What the ratio of two figures must be."""

    name: str
    ours: str
    theirs: str
    sign: str  # ">=" or "<="
    required: float
    aim: float

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.required if self.sign == ">=" else ratio <= self.required


_PER_S: Final = "litellm_cached_per_s_c16"
_P50: Final = "litellm_cached_p50_ms_c1"
_TARGETS: Final = (
    Target("memory answers/s, 16 clients", "memory_per_s_c16", _PER_S, ">=", 4, 10),
    Target("  of new questions", "memory_fresh_per_s_c16", _PER_S, ">=", 4, 10),
    Target("memory p50 ms, 1 client", "memory_p50_ms_c1", _P50, "<=", 1, 1),
    Target("  of new questions", "memory_fresh_p50_ms_c1", _P50, "<=", 1, 1),
    Target(
        "added to the stub's p50 ms, 1 client",
        "fallback_overhead_p50_ms",
        "litellm_overhead_p50_ms",
        "<=",
        0.5,
        0.25,
    ),
)


def _median(case: Case, clients: int, of: Callable[[Outcome], float]) -> float:
    """Returns the median over the rounds."""
    return statistics.median(of(outcome) for outcome in case.rounds[clients])


def _added(case: Case, bare: Case) -> float:
    """Returns what a case adds to the stub's p50 at one client: the median of the rounds."""
    pairs = zip(case.rounds[1], bare.rounds[1], strict=True)
    return statistics.median(mine.p(50) - stub.p(50) for mine, stub in pairs)


def figures_of(measured: Sequence[Case]) -> dict[str, Any]:
    """Returns the figures by name, of the cases that were measured."""
    by_name = {case.name: case for case in measured}
    figures: dict[str, Any] = {}
    for key, name in (
        ("memory", "memory, repeated"),
        ("memory_fresh", "memory, new"),
        ("litellm_cached", "litellm, cached"),
    ):
        if case := by_name.get(name):
            if 16 in case.rounds:
                figures[f"{key}_per_s_c16"] = _median(case, 16, case.per_s)
            if 1 in case.rounds:
                figures[f"{key}_p50_ms_c1"] = _median(case, 1, lambda outcome: outcome.p(50))
    for key, name, stub in (
        ("fallback_overhead", "fallback", "stub"),
        ("provider_overhead", "provider", "stub"),
        ("litellm_overhead", "litellm", "stub"),
        ("fallback_stream_overhead", "fallback, stream", "stub, stream"),
        ("litellm_stream_overhead", "litellm, stream", "stub, stream"),
    ):
        if name in by_name and stub in by_name and 1 in by_name[name].rounds:
            figures[f"{key}_p50_ms"] = _added(by_name[name], by_name[stub])
    for case in measured:
        # Of the processes that answer: what decides how many answers a machine can give.
        if 16 in case.rounds:
            key = case.name.replace(", ", "_")
            figures[f"{key}_processor_ms_c16"] = _median(case, 16, case.processor_ms)
    if (case := by_name.get("memory, new")) and 16 in case.rounds:
        figures["memory_fresh_share"] = case.share(16)
    return {name: round(value, 3) for name, value in figures.items()}


def show(measured: Sequence[Case], figures: dict[str, Any]) -> None:
    """Prints the tables."""
    console = Console(width=_WIDTH)
    told = f"{figures['cores']} cores, {figures['rounds']} rounds of {figures['seconds']:g} s"
    table = Table(title=f"One stub behind both; {told}; medians of the rounds")
    table.add_column("case", no_wrap=True)
    for name in (
        "clients",
        "answers/s",
        "p50 ms",
        "p99 ms",
        "first byte ms",
        "CPU ms",
        "share",
        "errors",
    ):
        table.add_column(name, justify="right")
    for case in measured:
        for clients in case.rounds:
            table.add_row(*_row(case, clients))
        table.add_section()
    console.print(table)
    console.print(_targets(figures))


def _row(case: Case, clients: int) -> list[str]:
    outcomes = case.rounds[clients]
    first = [value for outcome in outcomes for value in outcome.first_ms]
    return [
        case.name,
        str(clients),
        f"{_median(case, clients, case.per_s):,.1f}",
        f"{_median(case, clients, lambda outcome: outcome.p(50)):,.2f}",
        f"{_median(case, clients, lambda outcome: outcome.p(99)):,.2f}",
        f"{statistics.median(first):,.2f}" if first else "",
        f"{_median(case, clients, case.processor_ms):,.2f}",
        f"{case.share(clients):.1%}" if case.is_ours else "",
        str(sum(sum(outcome.errors.values()) for outcome in outcomes)),
    ]


def _targets(figures: dict[str, Any]) -> Table:
    table = Table(title="Beside LiteLLM")
    for name in ("figure", "ours", "LiteLLM", "ratio", "required", "aim", ""):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for target in _TARGETS:
        if target.ours not in figures or target.theirs not in figures:
            continue
        ours, theirs = figures[target.ours], figures[target.theirs]
        ratio = ours / theirs
        table.add_row(
            target.name,
            f"{ours:,.2f}",
            f"{theirs:,.2f}",
            f"{ratio:.2f}",
            f"{target.sign} {target.required:g}",
            f"{target.sign} {target.aim:g}",
            "met" if target.is_met(ratio) else "MISSED",
        )
    return table
