"""The guarantee on data that nobody here wrote, through the mesh; and the command, on a file."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from scipy.stats import binom
from typer.testing import CliRunner

from arenalab.local.cli.app import app
from arenalab.local.evaluation.mesh import evaluate_clinc150
from arenalab.local.home import Home
from arenalab.testing.data import data_file

# The bound fails in a share of delta of all draws, and what is measured has noise: a test that
# asked for risk <= alpha would fail by chance. Errors beyond this quantile are no chance.
CHANCE = 0.9999
ARENALAB = Path(sys.executable).parent / "arenalab"


@pytest.fixture
def thinned(tmp_path: Path) -> Path:
    """CLINC150 with 20 spans an intent to remember, and some two fifths of the questions."""
    data = data_file("clinc150/data_full.json").parent
    splits = json.loads((data / "data_full.json").read_text())
    for name, most in (("train", 20), ("test", 13), ("oos_test", 250)):
        seen: Counter[str] = Counter()
        kept = []
        for text, intent in splits[name]:
            seen[intent] += 1
            if seen[intent] <= most:
                kept.append([text, intent])
        splits[name] = kept
    folder = tmp_path / "clinc150"
    folder.mkdir()
    (folder / "data_full.json").write_text(json.dumps(splits))
    shutil.copy(data / "domains.json", folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_bound_holds_on_clinc150(thinned: Path, tmp_path: Path) -> None:
    home, _ = Home.create(tmp_path / "home")
    said: list[str] = []
    report = await evaluate_clinc150(
        home, thinned, alpha=0.05, delta=0.05, seeds=[0], say=said.append
    )
    [split] = report.splits
    assert split.n == report.n == 400
    assert split.served + sum(split.abstained.values()) == split.n
    assert split.errors <= binom.ppf(CHANCE, split.served, report.alpha)
    # With all spans, a single similarity threshold serves a quarter at the same risk.
    assert report.coverage > 0.6
    assert {"coverage", "risk", "alpha", "delta", "n"} <= set(report.as_json())


def _eval(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [str(ARENALAB), "eval", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"} | (env or {}),
    )


def _write_csv(file: Path) -> None:
    topics = ("password", "invoice", "delivery", "refund", "printer")
    openings = ("how do I fix my", "please help with the", "there is trouble with our", "lost my")
    endings = ("today", "at home", "from work", "again", "on Monday", "by phone", "abroad")
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["text", "label"])
        for topic, opening, ending in product(topics, openings, endings):
            writer.writerow([f"{opening} {topic} {ending}", topic])
        for number, ending in product(range(10), endings):
            writer.writerow([f"is planet number {number} visible {ending}?", "oos"])


@pytest.mark.slow
def test_a_file_of_ones_own_is_one_json_object_and_a_folder(tmp_path: Path) -> None:
    _write_csv(tmp_path / "mine.csv")
    ran = _eval(
        *("clinc150", "--data", str(tmp_path / "mine.csv"), "--format", "qa-intent-csv"),
        *("--resplits", "30", "--seed", "3", "--json", "--out", str(tmp_path / "out")),
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["questions"] == 110
    assert {row["alpha"] for row in found["alphas"]} == {0.01, 0.02, 0.05, 0.1}
    for row in found["alphas"]:
        if row["kind"] == "high_probability":
            assert row["violations"] <= binom.ppf(CHANCE, row["resplits"], found["delta"])
    assert found == json.loads((tmp_path / "out/results.json").read_text())
    assert (tmp_path / "out/report.md").read_text().startswith("# mine.csv")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clinc150", "--data", "."], "public source is github.com/clinc/oos-eval"),
        (["nothing"], "suite must be one of clinc150"),
        (["--format", "qa-intent-csv", "--data", "bad.csv"], "lacks label"),
        (["clinc150", "--data", "bad.csv"], "--format qa-intent-csv"),
        (["stackfaq", "--mesh"], "--mesh evaluates clinc150 only"),
        (["clinc150", "--alpha", "5"], "alpha must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("text,intent\nhello,greet\n")
    ran = CliRunner().invoke(app, ["eval", *arguments])
    assert ran.exit_code == 1
    assert ran.stdout == ""
    assert said in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr
