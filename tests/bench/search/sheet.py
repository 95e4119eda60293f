"""What was measured: a table for people, one JSON object for programs."""

import json
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.search.targets import Target, target_of

_WIDTH: Final = 132


class Row(NamedTuple):
    """One figure."""

    name: str
    value: float
    beside: str  # what it is to be judged by, from the same run


@dataclass
class Sheet:
    """Figures in the order in which they were measured, by section."""

    size: int
    sections: dict[str, list[Row]] = field(default_factory=dict)

    def put(self, section: str, name: str, value: float, beside: str = "") -> None:
        """Adds a figure.

        Args:
            section: Part of the table.
            name: Its key in the JSON object.
            value: What was measured, in the unit that the name ends with.
            beside: A baseline of the same run, in words and numbers.
        """
        self.sections.setdefault(section, []).append(Row(name, value, beside))

    def figures(self) -> dict[str, float]:
        """Returns all figures by name."""
        rows = (row for rows in self.sections.values() for row in rows)
        return {row.name: _rounded(row.value) for row in rows}

    def show(self) -> None:
        """Prints the table, then the JSON object as the last line."""
        table = Table(title=f"Search, {self.size:,} spans", width=_WIDTH)
        table.add_column("figure", no_wrap=True)
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("target", no_wrap=True)
        table.add_column("beside it, in the same run")
        for section, rows in self.sections.items():
            table.add_section()
            table.add_row(f"[bold]{section}[/bold]")
            for row in rows:
                table.add_row(*_cells(row, target_of(row.name, self.size)))
        Console(width=_WIDTH).print(table)
        print(json.dumps(self.figures()))


def _cells(row: Row, target: Target | None) -> tuple[str, str, str, str]:
    said = ""
    if target is not None:
        met = target.is_met(row.value)
        said = f"[{'green' if met else 'red'}]{target} {'met' if met else 'missed'}[/]"
    return f"  {row.name}", _shown(row.value), said, row.beside


def _shown(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3f}"


def _rounded(value: float) -> float:
    return int(value) if value == int(value) else round(float(value), 4)
