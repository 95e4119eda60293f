"""The guarantee on data that nobody here wrote: CLINC150, published and asked through the mesh."""

from pathlib import Path

import pytest
from scipy.stats import binom

from arenalab.local.evaluation.mesh import evaluate_clinc150
from arenalab.local.home import Home
from arenalab.testing.data import data_file

# The bound fails in a share of delta of all draws, and what is measured has noise: a test that
# asked for risk <= alpha would fail by chance. Errors beyond this quantile are no chance.
CHANCE = 0.9999


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_the_bound_holds_on_clinc150(tmp_path: Path) -> None:
    data = data_file("clinc150/data_full.json").parent
    home, _ = Home.create(tmp_path / "home")
    said: list[str] = []
    report = await evaluate_clinc150(home, data, alpha=0.05, delta=0.05, seeds=[0], say=said.append)
    [split] = report.splits
    assert split.n == report.n == 3_700
    assert split.served + sum(split.abstained.values()) == split.n
    assert split.errors <= binom.ppf(CHANCE, split.served, report.alpha)
    # A single similarity threshold serves a quarter of this traffic at the same risk.
    assert report.coverage > 0.6
    assert {"coverage", "risk", "alpha", "delta", "n"} <= set(report.as_json())
