"""Charts for people: curves in characters, and whether pictures can be drawn."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from arenalab.predictor.neighbourhood import FloatArray

NO_PICTURES: Final = "no plots: they need `pip install 'arenalab[eval]'`"
_DPI: Final = 120


class Chart:
    """Risk against coverage in characters: what is drawn later lies on top."""

    def __init__(self, top: float, *, width: int = 64, height: int = 12) -> None:
        """Makes an empty chart.

        Args:
            top: Risk at its upper edge; what lies above is not drawn.
            width: Columns that coverage 0 to 1 is spread over.
            height: Rows that the risk is spread over.
        """
        self._top = top
        self._grid = [[" "] * width for _ in range(height)]
        self._labels = [""] * height

    def level(self, risk: float, label: str) -> None:
        """Draws a line of one risk across, with a label to its right."""
        row = self._row(risk)
        if row is not None:
            self._grid[row] = ["-"] * len(self._grid[row])
            self._labels[row] = f" {label}"

    def curve(self, coverage: FloatArray, risk: FloatArray, sign: str) -> None:
        """Draws a curve, given by rising coverage; straight between its points."""
        if not len(coverage):
            return
        width = len(self._grid[0])
        centres = (np.arange(width) + 0.5) / width
        first, last = self._column(coverage[0]), self._column(coverage[-1])
        for column in range(first, last + 1):
            self.mark(centres[column], float(np.interp(centres[column], coverage, risk)), sign)

    def mark(self, coverage: float, risk: float, sign: str) -> None:
        """Draws one point."""
        row = self._row(risk)
        if row is not None:
            self._grid[row][self._column(coverage)] = sign

    def lines(self) -> Iterator[str]:
        """Yields the chart with its axes."""
        height, width = len(self._grid), len(self._grid[0])
        for at, (row, label) in enumerate(zip(self._grid, self._labels, strict=True)):
            middle = self._top * (1 - (at + 0.5) / height)
            yield f"{middle:6.1%} |{''.join(row)}{label}"
        yield f"       +{'-' * width}"
        yield f"        0%{'coverage':^{width - 6}}100%"

    def _row(self, risk: float) -> int | None:
        if not 0.0 <= risk < self._top:
            return None
        height = len(self._grid)
        return min(int((1 - risk / self._top) * height), height - 1)

    def _column(self, coverage: float) -> int:
        width = len(self._grid[0])
        return min(int(coverage * width), width - 1)


def has_matplotlib() -> bool:
    """Whether pictures can be drawn."""
    return find_spec("matplotlib") is not None


def draw_png(file: Path, size: tuple[float, float], paint: Callable[[Any], None]) -> Path:
    """Draws a picture into a file; needs matplotlib, an extra that only this needs.

    Args:
        file: Where to.
        size: Width and height in inches.
        paint: Fills the figure.
    """
    # The object interface: pyplot keeps global state and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    paint(figure)
    # Without the version in it, the same data gives the same file.
    figure.savefig(file, dpi=_DPI, metadata={"Software": None})
    return file
